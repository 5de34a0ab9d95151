"""POST /classify: moderates one text."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import request
from marshmallow import ValidationError

from content_moderator.domain.errors import FieldError, InvalidFieldsError
from content_moderator.domain.moderator import all_verdicts
from content_moderator.web.api import examples
from content_moderator.web.api.request_schemas import TextSchema, check_text
from content_moderator.web.api.verdict_schema import VerdictSchema
from content_moderator.web.blueprint import ANSWERABLE, StrictBlueprint
from content_moderator.web.openapi import ALTERNATIVES
from content_moderator.web.request_record import current_record
from content_moderator.web.state import current_state
from content_moderator.web.verdicts import record_verdicts

OLD_QUERY: Final = (
    "As in the service that this one replaces, a request without a body may have its text in the query, as"
    " `message`; new clients send a body."
)

blueprint = StrictBlueprint(
    "classify",
    __name__,
    description="Classify texts",
    rules={"Text": {ALTERNATIVES: ["text", "message"]}},
)


@blueprint.route("/classify", methods=["POST"])
@blueprint.doc(operationId="classify", description=OLD_QUERY)
@blueprint.arguments(TextSchema(), location="json")
@blueprint.response(200, VerdictSchema(), example=examples.VERDICT)
@blueprint.failures(*ANSWERABLE)
def classify(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Score one text on nine labels and decide whether to allow, review or block it."""
    state, moderator = current_state(), current_state().moderator
    text = the_text(body)
    state.charge([text])
    context = state.call_context()
    answer: dict[str, Any] = {}
    if body.get("spans"):
        verdict, spans = moderator.moderate_by_sentence(text, context)
        answer["spans"] = [span.as_dict() for span in spans]
    else:
        # If the fast path did not find the text in the cache, it has already screened it.
        screened = current_record().screened or moderator.screen(text)
        [verdict] = all_verdicts(moderator.judge([screened], context))
    if body.get("explain"):
        answer["explanation"] = moderator.explain(text, verdict)
    record_verdicts([text], [verdict])
    return answer | verdict.as_dict()


def the_text(body: Mapping[str, Any]) -> str:
    """
    Return the text of a request, from its body or, as in the old API, from its query.

    Raises:
        InvalidFieldsError: There is no text or more than one, or that in the query is invalid.
    """
    given: list[str] = [body[name] for name in ("text", "message") if name in body]
    given += _query_texts()
    if not given:
        raise InvalidFieldsError([FieldError("Missing data for required field.", pointer="#/text")])
    if len(given) > 1:
        raise InvalidFieldsError([FieldError("Give exactly one of text and message.", pointer="#/text")])
    return given[0]


def _query_texts() -> list[str]:
    """
    Return the texts in the query. Werkzeug replaces bytes that are not UTF-8 by U+FFFD; a changed text must
    not be judged.
    """
    if not request.query_string:
        return []
    try:
        parse_qsl(request.query_string.decode("ascii"), errors="strict")
        texts = request.args.getlist("message")
        for text in texts:
            check_text(text)
    except ValidationError as error:
        raise InvalidFieldsError([FieldError(str(error.messages[0]), parameter="message")]) from error
    except ValueError as error:
        detail = FieldError("Must be percent-encoded UTF-8.", parameter="message")
        raise InvalidFieldsError([detail]) from error
    return texts
