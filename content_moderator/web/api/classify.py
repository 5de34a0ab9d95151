"""POST /classify: what a text contains, and what to do about it."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import request
from marshmallow import ValidationError

from content_moderator.domain.action import Action
from content_moderator.domain.errors import FieldError, InvalidFieldsError
from content_moderator.domain.moderator import all_verdicts
from content_moderator.domain.verdict import JudgedLanguage, Verdict
from content_moderator.observability import metrics
from content_moderator.web.api import examples
from content_moderator.web.api.schemas import TextSchema, VerdictSchema, check_text
from content_moderator.web.blueprint import ANSWERABLE, StrictBlueprint
from content_moderator.web.openapi import ALTERNATIVES
from content_moderator.web.request_record import current_record
from content_moderator.web.state import current_caller, current_state

OLD_QUERY: Final = (
    "As in the service that this one replaces, a request without a body may have its text in the query, as"
    " `message`; new clients send a body."
)

MAX_LANGUAGES: Final = 16
"""Of the texts of a request that a header names at most."""

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
        # The fast path has screened a text that it did not find in the cache.
        screened = current_record().screened or moderator.screen(text)
        [verdict] = all_verdicts(moderator.judge([screened], context))
    if body.get("explain"):
        answer["explanation"] = moderator.explain(text, verdict)
    record([text], [verdict])
    return answer | verdict.as_dict()


def keep(text: str, verdict: Verdict) -> None:
    """Write a verdict to the audit log, if there is one."""
    if audit := current_state().audit:
        current = current_record()
        audit.write(
            # A caller who wants no trace of the text gets no hash of it either.
            None if current.leaves_no_trace else text,
            verdict,
            request_id=current.request_id,
            endpoint=current.endpoint or "",
            caller=current_caller(),
        )


def source_headers(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return who scored and what decided, for answers whose body has no place for it."""
    names = sorted({verdict.classification.classifier.name for verdict in verdicts})
    policy = verdicts[0].policy
    headers = {
        "X-Moderation-Classifier": ", ".join(names),
        "X-Moderation-Policy": f"{policy.name}/{policy.version}",
    }
    if any(verdict.classification.degraded for verdict in verdicts):
        headers["X-Moderation-Degraded"] = "true"
    languages = dict.fromkeys(_named(verdict.language) for verdict in verdicts)
    headers["X-Moderation-Language"] = ", ".join(list(languages)[:MAX_LANGUAGES])
    return headers


def _named(language: JudgedLanguage) -> str:
    return language.code if language.judged else f"{language.code};judged=false"


def the_text(body: Mapping[str, Any]) -> str:
    """
    Pick the one text of a request, from its body or, as in the old contract, from its query.

    Raises:
        InvalidFieldsError: There is none or more than one; or the one of the query cannot be judged.
    """
    given: list[str] = [body[name] for name in ("text", "message") if name in body]
    given += _query_texts()
    if not given:
        raise InvalidFieldsError([FieldError("Missing data for required field.", pointer="#/text")])
    if len(given) > 1:
        raise InvalidFieldsError([FieldError("Give exactly one of text and message.", pointer="#/text")])
    return given[0]


def _query_texts() -> list[str]:
    """Werkzeug puts U+FFFD in the place of bytes that are not UTF-8; a changed text must not be judged."""
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


def record(texts: Sequence[str], verdicts: Sequence[Verdict]) -> None:
    """Count verdicts and write them to the audit log; the request's log line names a single one."""
    for text, verdict in zip(texts, verdicts, strict=True):
        count(verdict)
        keep(text, verdict)
    if len(verdicts) == 1:
        current = current_record()
        current.decision = verdicts[0].decision.value
        current.cache = verdicts[0].classification.cache


def count(verdict: Verdict) -> None:
    """Count a verdict."""
    for increment in counts_of(verdict):
        increment()


def counts_of(verdict: Verdict) -> Sequence[Callable[[], None]]:
    """Return what to call for each verdict like this one."""
    reasons = tuple((each.label, each.action) for each in verdict.reasons)
    name, language = verdict.classification.classifier.name, verdict.language
    return _counts(name, verdict.decision, metrics.counted_language(language.code), language.judged, reasons)


@lru_cache(maxsize=1024)
def _counts(
    classifier: str, decision: Action, language: str, judged: bool, reasons: tuple[tuple[str, Action], ...]
) -> Sequence[Callable[[], None]]:
    """Find counters by their labels, which takes longer than counting."""
    counters = (
        metrics.DECISIONS.labels(classifier, decision.value),
        metrics.LANGUAGES.labels(language, str(judged).lower()),
        *(metrics.REASONS.labels(classifier, label, action.value) for label, action in reasons),
    )
    return [counter.inc for counter in counters]
