"""How answers travel: compressed for who takes that, and to pages of other origins if those are let in."""

from typing import TYPE_CHECKING, Final

from flask import Flask
from flask_compress import Compress
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from content_moderator.config.settings import HttpSettings
from content_moderator.web.rate_limit_headers import ALLOWANCE_HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MIN_COMPRESSED_BYTES: Final = 1024
"""The answer about one text is shorter: what compression would save there is less than a packet."""

EXPOSED_HEADERS: Final = (
    *ALLOWANCE_HEADERS,
    "Age",
    "Retry-After",
    "Server-Timing",
    "X-Moderation-Classifier",
    "X-Moderation-Degraded",
    "X-Moderation-Policy",
    "X-Request-ID",
    "X-Should-Retry",
)
"""What a page of another origin may read."""

PREFLIGHT_SECONDS: Final = 600


def trusting(application: "WSGIApplication", hops: int) -> "WSGIApplication":
    """
    Take the caller's address and scheme from what reverse proxies say.

    Args:
        application: What is around it sees the proxy instead.
        hops: How many proxies there are, each of which adds to or sets X-Forwarded-For and X-Forwarded-Proto:
            what a caller writes there itself stands further left and is not looked at.
    """
    return ProxyFix(application, x_for=hops, x_proto=hops)


def install_transport(app: Flask, settings: HttpSettings) -> None:
    """Compress answers and let other origins in, as far as *settings* say so."""
    if settings.compress:
        app.config.update(
            COMPRESS_ALGORITHM=["zstd", "br", "gzip"],
            COMPRESS_MIN_SIZE=MIN_COMPRESSED_BYTES,
            COMPRESS_MIMETYPES=[
                "application/json",
                "application/problem+json",
                "text/css",
                "text/html",
                "text/javascript",
                "text/plain",
            ],
        )
        Compress(app)
    if settings.cors_origins:
        # Without credentials: nobody is known here by a cookie.
        CORS(
            app,
            origins=list(settings.cors_origins),
            send_wildcard="*" in settings.cors_origins,
            methods=["GET", "HEAD", "POST"],
            expose_headers=list(EXPOSED_HEADERS),
            max_age=PREFLIGHT_SECONDS,
        )
