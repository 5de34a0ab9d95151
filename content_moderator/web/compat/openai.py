"""POST /v1/moderations: OpenAI's moderation API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, validate

from content_moderator.domain.label import HARMS, Label
from content_moderator.domain.verdict import Verdict
from content_moderator.web.api import examples as example
from content_moderator.web.api.request_schemas import check_foreign_text
from content_moderator.web.api.verdict_schema import Score
from content_moderator.web.blueprint import ANSWERABLE, StrictBlueprint
from content_moderator.web.compat.openai_errors import OPENAI_ERRORS
from content_moderator.web.openapi import FOREIGN_TEXT, FOREIGN_TEXTS, LIMIT
from content_moderator.web.request_record import current_record
from content_moderator.web.state import current_state
from content_moderator.web.verdicts import record_verdicts, source_headers

MAX_MODEL_CHARS: Final = 128

UNSCORED: Final = (
    "harassment/threatening",
    "illicit",
    "illicit/violent",
    "self-harm/instructions",
    "self-harm/intent",
)
"""OpenAI's categories without a label: never flagged, the score is 0, and they apply to no input."""

CATEGORIES: Final = (*(label.category for label in HARMS), *UNSCORED)

_TEXT_PART: Final = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string", **FOREIGN_TEXT}},
    "required": ["type", "text"],
    "additionalProperties": False,
}

blueprint = StrictBlueprint("moderations", __name__, description="OpenAI's moderation API")


class ModerationInput(fields.Field[list[str]]):
    """A text, a list of texts, or a list of parts of one text; loaded as a list of texts."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> list[str]:
        if isinstance(value, str):
            check_foreign_text(value)
            return [value]
        if not isinstance(value, list):
            raise ValidationError("Must be a text, a list of texts, or a list of text parts.")
        if not value:
            raise ValidationError("Must have at least one text.")
        if not all(isinstance(each, Mapping) for each in value):
            _raise_all(_wrong_texts(value))
            return value
        _raise_all(_wrong_parts(value))
        text = "\n".join(each["text"] for each in value)
        check_foreign_text(text)
        return [text]


def _raise_all(found: Iterator[tuple[int, Any]]) -> None:
    if wrong := dict(found):
        raise ValidationError(wrong)


def _wrong_texts(values: Sequence[object]) -> Iterator[tuple[int, Any]]:
    for place, value in enumerate(values):
        try:
            if not isinstance(value, str):
                raise ValidationError("Must be a text, like the other items.")  # noqa: TRY301
            # An empty text in a list is harmless, and must not fail the others.
            check_foreign_text(value, may_be_empty=True)
        except ValidationError as error:
            yield place, error.messages


def _wrong_parts(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
    for place, part in enumerate(parts):
        if part.get("type") == "image_url":
            yield place, {"type": ["Images are not judged by this service, only text."]}
        elif part.get("type") != "text":
            yield place, {"type": ["Must be text."]}
        elif not isinstance(part.get("text"), str):
            yield place, {"text": ["Not a valid string."]}
        elif part.keys() != {"type", "text"}:
            yield place, ["Must have type and text only."]


class ModerationRequestSchema(Schema):
    """The request of OpenAI's clients."""

    input = ModerationInput(
        required=True,
        metadata={
            "description": "A text, a list of texts, or a list of text parts, which are judged as one text.",
            "oneOf": [
                {"type": "string", **FOREIGN_TEXT},
                {
                    "type": "array",
                    "items": {"type": "string", LIMIT: "max_foreign_chars"},
                    **FOREIGN_TEXTS,
                },
                {"type": "array", "items": _TEXT_PART, **FOREIGN_TEXTS},
            ],
            "example": ["Thank you, that was kind of you.", "See you at the station."],
        },
    )
    model = fields.String(
        allow_none=True,
        validate=validate.Length(1, MAX_MODEL_CHARS),
        metadata={
            "description": "Any name; it is repeated in the answer and has no effect. The header "
            "X-Moderation-Classifier names who scored.",
            "example": "omni-moderation-latest",
        },
    )


def _of_each_category(field: fields.Field[Any], name: str) -> type[Schema]:
    return Schema.from_dict(dict.fromkeys(CATEGORIES, field), name=name)


class ModerationSchema(Schema):
    """The result for one text, in OpenAI's thirteen categories."""

    flagged = fields.Boolean(required=True)
    categories = fields.Nested(
        _of_each_category(fields.Boolean(required=True), "ModerationCategories"), required=True
    )
    category_scores = fields.Nested(
        _of_each_category(Score(required=True), "ModerationCategoryScores"), required=True
    )
    category_applied_input_types = fields.Nested(
        _of_each_category(
            fields.List(fields.String(validate=validate.OneOf(["text"])), required=True),
            "ModerationAppliedInputTypes",
        ),
        required=True,
        metadata={"description": "Empty for categories without a score."},
    )


class ModerationAnswerSchema(Schema):
    """The answer for OpenAI's clients."""

    id = fields.String(required=True)
    model = fields.String(required=True)
    results = fields.List(fields.Nested(ModerationSchema), required=True)


@blueprint.route("/v1/moderations", methods=["POST"])
@blueprint.arguments(ModerationRequestSchema(), location="json")
@blueprint.doc(operationId="createModeration")
@blueprint.response(200, ModerationAnswerSchema(), example=example.moderation(UNSCORED))
@blueprint.failures(*ANSWERABLE, error_format=OPENAI_ERRORS)
def moderations(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], int, Mapping[str, str]]:
    """Judge texts as OpenAI's moderation API does."""
    state = current_state()
    state.charge(body["input"])
    verdicts = state.moderator.moderate(body["input"], state.call_context())
    record_verdicts(body["input"], verdicts)
    first = verdicts[0].classification
    answer = {
        "id": f"modr-{current_record().request_id}",
        "model": body.get("model") or first.classifier.model,
        "results": [_result(verdict) for verdict in verdicts],
    }
    return answer, 200, source_headers(verdicts)


def _result(verdict: Verdict) -> Mapping[str, Any]:
    scores = verdict.classification.scores
    flagged = _flagged(verdict)
    return {
        "flagged": verdict.flagged,
        "categories": {harm.category: harm in flagged for harm in HARMS} | dict.fromkeys(UNSCORED, False),
        "category_scores": {harm.category: scores[harm] for harm in HARMS} | dict.fromkeys(UNSCORED, 0.0),
        "category_applied_input_types": {harm.category: ["text"] for harm in HARMS}
        | {category: [] for category in UNSCORED},
    }


def _flagged(verdict: Verdict) -> set[Label]:
    """
    Return the harms that are flagged.

    If the only reasons are ANY or a listed term, that is the harm with the highest score, because OpenAI's
    clients expect a category for each flagged text. A language that is not judged is no harm.
    """
    met: set[Label] = {harm for harm in HARMS if any(reason.label == harm for reason in verdict.reasons)}
    if met or all(reason.rule == "language" for reason in verdict.reasons):
        return met
    return {max(HARMS, key=lambda harm: verdict.classification.scores[harm])}
