"""POST /classify/batch: moderates several texts in one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from content_moderator.domain.errors import AnswerableError, ClassifierError, InvalidFieldsError
from content_moderator.domain.verdict import Verdict
from content_moderator.observability import metrics
from content_moderator.observability.decision_metrics import count_verdict
from content_moderator.web.api import examples as example
from content_moderator.web.api.request_schemas import BatchSchema, check_text
from content_moderator.web.api.verdict_schema import BatchAnswerSchema
from content_moderator.web.blueprint import ANSWERABLE, StrictBlueprint
from content_moderator.web.error_handlers import log_failure
from content_moderator.web.state import current_state
from content_moderator.web.verdicts import write_audit

blueprint = StrictBlueprint("batch", __name__, description="Classify texts")


@blueprint.route("/classify/batch", methods=["POST"])
@blueprint.arguments(BatchSchema(), location="json")
@blueprint.doc(operationId="classifyBatch")
@blueprint.response(200, BatchAnswerSchema(), example=example.BATCH)
@blueprint.failures(*ANSWERABLE)
def classify_batch(body: Mapping[str, Sequence[object]]) -> Mapping[str, Any]:
    """Score several texts and decide about each; one that cannot be answered has an error in its place."""
    texts = body["texts"]
    wrong = {place: detail for place, text in enumerate(texts) if (detail := _what_is_wrong(text))}
    sound = [text for place, text in enumerate(texts) if place not in wrong and isinstance(text, str)]
    state = current_state()
    state.charge(sound, others=len(wrong))
    found = state.moderator.moderate_each(sound, state.call_context()) if sound else []
    _log_failures(found)
    outcomes = iter(zip(sound, found, strict=True))
    return {
        "results": [
            _failure(InvalidFieldsError([]), wrong[place]) if place in wrong else _result(*next(outcomes))
            for place in range(len(texts))
        ]
    }


def _log_failures(found: Sequence[Verdict | ClassifierError]) -> None:
    """Log each kind of error once, with the number of texts that have it."""
    errors = {each.code: each for each in found if isinstance(each, ClassifierError)}
    for code, error in errors.items():
        log_failure(error, sum(isinstance(each, ClassifierError) and each.code == code for each in found))


def _what_is_wrong(text: object) -> str | None:
    """Return what is wrong with one text, by the same rules as for /classify; None if it is valid."""
    if not isinstance(text, str):
        return "Not a valid string."
    try:
        check_text(text)
    except ValidationError as error:
        return str(error.messages[0])
    return None


def _result(text: str, outcome: Verdict | AnswerableError) -> Mapping[str, Any]:
    if not isinstance(outcome, Verdict):
        return _failure(outcome, outcome.detail)
    count_verdict(outcome)
    write_audit(text, outcome)
    return outcome.as_dict()


def _failure(error: AnswerableError, detail: str) -> Mapping[str, Any]:
    metrics.ERRORS.labels(error.code).inc()
    return {"error": {"status": error.status, "code": error.code, "detail": detail}}
