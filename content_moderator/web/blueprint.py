"""flask-smorest with our own body reader and error formats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import orjson
from flask import Flask, Request, Response
from flask.json.provider import JSONProvider
from flask_smorest import Api, Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from content_moderator import __version__
from content_moderator.config.settings import Settings
from content_moderator.web.error_formats import PROBLEM, ErrorFormat
from content_moderator.web.error_handlers import EXAMPLES, answer_http_exception
from content_moderator.web.openapi import refine
from content_moderator.web.request_body import read_json
from content_moderator.web.request_record import UNREAD, record_of
from content_moderator.web.state import current_state

_View = TypeVar("_View", bound=Callable[..., Any])


ANSWERABLE: Final = (400, 401, 403, 413, 415, 422, 429, 500, 502, 503, 504)
"""The statuses of the errors of endpoints that judge texts."""

STRICT_ENDPOINTS: Final = frozenset({"classify.classify"})
"""
The endpoint where a lone surrogate is an error. On others it must neither fail other texts nor get past a
guardrail.
"""


class StrictJsonProvider(JSONProvider):
    """JSON for Flask by orjson, which is fast and refuses NaN in both directions."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return *obj* as JSON."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Return the value of a JSON text."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a response with the arguments as JSON."""
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, mimetype="application/json")


class StrictParser(FlaskParser):
    """webargs with our own reader of JSON bodies."""

    def load_json(self, req: Request, schema: Any) -> Any:
        """Return the body that the fast path has parsed, or read it strictly."""
        body = record_of(req.environ).body
        if body is not UNREAD:
            return body
        return read_json(
            req.environ,
            limit_bytes=current_state().settings.http.max_body_bytes,
            mend_surrogates=req.endpoint not in STRICT_ENDPOINTS,
        )


class StrictBlueprint(Blueprint):
    """
    A blueprint whose arguments go through `StrictParser`.

    Args:
        rules: Additions to the description of schemas, by schema name.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(
        self, *args: Any, rules: Mapping[str, Mapping[str, Any]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rules = rules or {}

    def failures(self, *statuses: int, error_format: ErrorFormat = PROBLEM) -> Callable[[_View], _View]:
        """Document that a view can answer with errors of *statuses*, before translation."""

        def decorate(view: _View) -> _View:
            documented = view
            for response in _documented(statuses, error_format):
                documented = self.alt_response(**response)(documented)
            # Without flask-smorest's wrapper, which would only carry the documentation.
            view._apidoc = documented._apidoc  # type: ignore[attr-defined]  # noqa: SLF001
            return view

        return decorate

    def _prepare_arguments_doc(self, doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        """Do not document 422 here; see `failures`."""
        doc_info.get("arguments", {}).pop("responses", None)
        return super()._prepare_arguments_doc(doc, doc_info, **kwargs)


def _documented(statuses: Sequence[int], error_format: ErrorFormat) -> Iterator[dict[str, Any]]:
    """Return the description of each status, with an example for each code."""
    examples: dict[int, dict[str, Any]] = {}
    for failure in EXAMPLES:
        if failure.status in statuses:
            named = examples.setdefault(error_format.status_of(failure), {})
            named[failure.code] = {"value": error_format.example(failure)}
    for status, named in examples.items():
        yield {
            "status_code": status,
            "description": f"{HTTPStatus(status).phrase}: {', '.join(named)}",
            "schema": error_format.schema,
            "examples": named,
            "content_type": error_format.media_type,
        }
    yield {
        "status_code": "default",
        "description": "Other errors, such as 500 for an error of the service.",
        "schema": error_format.schema,
        "content_type": error_format.media_type,
    }


class ProblemApi(Api):
    """An API whose errors are problem documents (RFC 9457)."""

    # Each blueprint documents its own errors: see `StrictBlueprint.failures`.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer errors of Werkzeug and webargs in the error format of the path."""
        return answer_http_exception(error)


FRAMEWORK_SCHEMAS: Final = ("Error", "PaginationMetadata")
"""Descriptions of flask-smorest's own errors and pages, which are not used here."""

OPENAPI: Final = {
    "API_TITLE": "content_moderator",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "API_SPEC_OPTIONS": {
        "servers": [{"url": "/", "description": "The server that sent this description."}],
        "info": {
            "description": "How much a text contains of hate, violence, harassment, self-harm and "
            "sexual content, and what to do about it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
    },
}


_KEY: Final = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
_BEARER: Final = {"type": "http", "scheme": "bearer"}
_TOKEN: Final = _BEARER | {"bearerFormat": "JWT"}

SECURITY_SCHEMES: Final[Mapping[str, Mapping[str, dict[str, str]]]] = {
    "none": {},
    "api_key": {"bearer": _BEARER, "header": _KEY},
    "jwt": {"bearer": _TOKEN},
    "any": {"bearer": _BEARER, "header": _KEY},
}
"""The security schemes for each ``auth.mode``; one of them is enough."""


def install_api(app: Flask, settings: Settings, *blueprints: StrictBlueprint) -> None:
    """Register *blueprints* with *app*, and document them in /openapi.json."""
    app.json = StrictJsonProvider(app)
    app.config.update(OPENAPI)
    api = ProblemApi(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    for unused in FRAMEWORK_SCHEMAS:
        api.spec.components.schemas.pop(unused, None)
    rules = {name: rule for blueprint in blueprints for name, rule in blueprint.rules.items()}
    refine(api.spec.components.schemas, rules, settings.http)
    schemes = SECURITY_SCHEMES[settings.auth.mode]
    for name, scheme in schemes.items():
        api.spec.components.security_scheme(name, scheme)
    if schemes:
        api.spec.options["security"] = [{name: []} for name in schemes]
