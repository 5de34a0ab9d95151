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
"""The smallest response that is compressed. The answer about one text is shorter and fits into one packet."""

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
"""The response headers that pages of other origins can read."""

PREFLIGHT_SECONDS: Final = 600


class TrustedProxies:
    """
    The middleware that takes the caller's address and scheme from the headers of reverse proxies.

    Args:
        application: Answers the requests. Code outside of this middleware sees the address of the proxy.
        hops: The number of proxies, each of which sets or extends X-Forwarded-For and X-Forwarded-Proto.
            Values from the caller are further left and are ignored. With 0, all values are ignored.
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
    """Set up compression and CORS as in *settings*."""
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
        # Without credentials, because there are no cookies.
        CORS(
            app,
            origins=list(settings.cors_origins),
            send_wildcard="*" in settings.cors_origins,
            methods=["GET", "HEAD", "POST"],
            expose_headers=list(EXPOSED_HEADERS),
            max_age=PREFLIGHT_SECONDS,
        )
