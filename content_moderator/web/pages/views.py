"""The pages for people: a page to try the service on, and the API's documentation."""

import gzip
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, make_response, render_template, request, send_from_directory

from content_moderator import __version__
from content_moderator.domain.policy import OtherLanguages
from content_moderator.web.security_headers import CONTENT_SECURITY_POLICY
from content_moderator.web.state import current_state

blueprint = Blueprint("pages", __name__)

STATIC: Final = Path(__file__).parent / "static"
SWAGGER_UI: Final = Path(str(files("flask_swagger_ui"))) / "dist"
SWAGGER_UI_FILES: Final = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})

DOCS_SECURITY_POLICY: Final = CONTENT_SECURITY_POLICY.replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
"""Swagger UI writes style attributes. Scripts are as restricted as everywhere."""


LANGUAGE_NAMES: Final = {
    "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "zh": "Chinese",
}  # fmt: skip
OTHERWISE: Final[dict[OtherLanguages, str]] = {
    "review": "sent to review",
    "judge": "decided by their scores all the same",
    "allow": "not held back",
    "refuse": "refused",
}
"""What the page says about texts in languages that are not judged."""


@blueprint.route("/")
def index() -> str:
    """Show the page to try the service on."""
    settings = current_state().settings
    moderator = current_state().moderators.default
    identity = moderator.classifier.identity
    return render_template(
        "index.html",
        version=__version__,
        languages=_listed([LANGUAGE_NAMES.get(code, code) for code in sorted(identity.languages)]),
        otherwise=OTHERWISE[moderator.policy.other_languages.get(identity.name, "review")],
        locked=settings.auth.mode != "none",
        max_text_chars=settings.http.max_text_chars,
    )


def _listed(names: Sequence[str]) -> str:
    ordered = sorted(names)
    return ordered[0] if len(ordered) == 1 else f"{', '.join(ordered[:-1])} and {ordered[-1]}"


@blueprint.route("/docs")
def docs() -> Response:
    """Show the API's documentation."""
    response = make_response(render_template("docs.html"))
    response.headers["Content-Security-Policy"] = DOCS_SECURITY_POLICY
    return response


@blueprint.route("/static/<path:name>")
def static(name: str) -> Response:
    """Send a file of the pages: Swagger UI's from its package, our own from this folder."""
    folder = SWAGGER_UI if name in SWAGGER_UI_FILES else STATIC
    response = send_from_directory(folder, name, max_age=3600)
    # Read completely: if the file were compressed while streaming, it would stay open.
    response.direct_passthrough = False
    response.make_sequence()
    response.close()
    response.headers["Cache-Control"] = "public, max-age=3600"
    if current_state().settings.http.compress and response.status_code == HTTPStatus.OK:
        response.headers.add("Vary", "Accept-Encoding")
        if request.accept_encodings.best_match(["gzip"]):
            # Compressed once for all clients: the largest file takes 30 ms.
            response.set_data(_gzipped(folder / name))
            response.headers["Content-Encoding"] = "gzip"
            # The same ETag for both encodings.
            response.set_etag(response.get_etag()[0] or "", weak=True)
    return response


@cache
def _gzipped(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)
