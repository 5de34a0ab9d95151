"""Authenticates and limits each request that is not for everybody, before anything else looks at it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flask import Flask, request

from content_moderator.access.access_control import AccessControl
from content_moderator.domain.caller import Scope
from content_moderator.web.request_context import Application, StartResponse
from content_moderator.web.request_record import current_record, record_of

PUBLIC: Final = frozenset(
    {
        "api-docs.openapi_json",
        "comments.discovery",
        "operations.healthcheck",
        "operations.livez",
        "operations.readyz",
        "pages.docs",
        "pages.index",
        "pages.static",
    }
)
"""The endpoints that need no key: they judge no text, and tell nothing about any caller."""

SCOPES: Final[Mapping[str, Scope]] = {"operations.scrape": "metrics", "policies.all_policies": "admin"}
"""The scope that an endpoint needs, where it is not ``classify``."""


class Authentication:
    """
    Decides once for each request whether it may be answered, and leaves the decision in its record.

    A refused request goes on to Flask, where all errors are answered: see `install_refusals`.

    Args:
        application: Answers the requests.
        access: Decides.
    """

    def __init__(self, application: Application, access: AccessControl) -> None:
        self._application = application
        self._access = access

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        record = record_of(environ)
        if _needs_admission(record.endpoint, environ["REQUEST_METHOD"]):
            record.admission = self._access.admit(environ, SCOPES.get(record.endpoint or "", "classify"))
        return self._application(environ, start_response)


def install_refusals(app: Flask) -> None:
    """Have *app* answer each request that was refused, and answer none that was not decided about."""

    def refuse() -> None:
        admission = current_record().admission
        if admission is not None and admission.refusal is not None:
            raise admission.refusal
        if admission is None and _needs_admission(request.endpoint, request.method):
            raise RuntimeError("a request for callers with keys only was not authenticated")

    app.before_request(refuse)


def _needs_admission(endpoint: str | None, method: str) -> bool:
    """Return whether not everybody may ask: unknown paths and OPTIONS are answered to everybody."""
    return endpoint is not None and endpoint not in PUBLIC and method != "OPTIONS"
