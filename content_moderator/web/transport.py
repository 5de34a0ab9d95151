"""Compression, CORS and reverse proxies."""

from collections.abc import Iterable
from typing import Any, Final

from flask import Flask
from flask_compress import Compress
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from content_moderator.config.settings import HttpSettings
from content_moderator.web.rate_limit_headers import RATE_LIMIT_HEADERS
from content_moderator.web.request_context import Application, StartResponse

MIN_COMPRESSED_BYTES: Final = 1024
"""The answer about one text is shorter: what compression would save there is less than a packet."""

EXPOSED_HEADERS: Final = (
    *RATE_LIMIT_HEADERS,
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


class TrustedProxies:
    """
    The middleware that takes the caller's address and scheme from what reverse proxies say.

    Args:
        application: Answers the requests; what is around this middleware sees the proxy instead.
        hops: How many proxies there are, each of which adds to or sets X-Forwarded-For and X-Forwarded-Proto:
            what a caller writes there itself stands further left and is ignored. 0 ignores all of it.
    """

    def __init__(self, application: Application, hops: int) -> None:
        self._application: Any = application
        if hops:
            self._application = ProxyFix(self._application, x_for=hops, x_proto=hops)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer


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
