"""Authenticates and rate-limits each request to an endpoint that is not public, before it is processed."""

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
"""The public endpoints: they judge no text and reveal nothing about callers."""

SCOPES: Final[Mapping[str, Scope]] = {"operations.scrape": "metrics", "policies.all_policies": "admin"}
"""The scopes of endpoints that need another scope than ``classify``."""


class Authentication:
    """
    Decides once for each request whether it may be answered, and stores the decision in its record.

    Refused requests are passed on to Flask, which answers all errors: see `install_refusals`.

    Args:
        application: Answers the requests.
        access: Decides about requests.
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
    """Make *app* answer refused requests with their error, and refuse requests without a decision."""

    def refuse() -> None:
        admission = current_record().admission
        if admission is not None and admission.refusal is not None:
            raise admission.refusal
        if admission is None and _needs_admission(request.endpoint, request.method):
            raise RuntimeError("a request for callers with keys only was not authenticated")

    app.before_request(refuse)


def _needs_admission(endpoint: str | None, method: str) -> bool:
    """Return whether a request needs a decision; unknown paths and OPTIONS do not."""
    return endpoint is not None and endpoint not in PUBLIC and method != "OPTIONS"
