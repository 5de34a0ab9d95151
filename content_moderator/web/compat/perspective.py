"""POST /v1alpha1/comments:analyze: the Perspective API."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from flask import Response, jsonify, request
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from content_moderator.config.fields import StrictBoolean
from content_moderator.domain.classification import Classification
from content_moderator.domain.label import Label
from content_moderator.text.cleaning import clean
from content_moderator.text.profanity import profanity
from content_moderator.web.api import examples as example
from content_moderator.web.api.request_schemas import check_foreign_text
from content_moderator.web.api.verdict_schema import probability
from content_moderator.web.blueprint import ANSWERABLE, StrictBlueprint
from content_moderator.web.compat.perspective_discovery import PATH, discovery_document
from content_moderator.web.compat.perspective_errors import PERSPECTIVE_ERRORS
from content_moderator.web.openapi import FOREIGN_TEXT
from content_moderator.web.request_body import MAX_MEMBERS
from content_moderator.web.state import current_state
from content_moderator.web.verdicts import record_verdicts, source_headers

ATTRIBUTES: Final[Mapping[str, Sequence[Label]]] = {
    "TOXICITY": (),
    "SEVERE_TOXICITY": (Label.H2, Label.V2, Label.S3),
    "IDENTITY_ATTACK": (Label.H, Label.H2),
    "INSULT": (Label.HR,),
    "THREAT": (Label.V, Label.H2),
    "SEXUALLY_EXPLICIT": (Label.S, Label.S3),
}
"""The labels of each attribute, whose highest score is used; no labels means any violation, 1 - P(OK)."""

PROFANITY: Final = "PROFANITY"
"""The attribute that is scored by a list of words, because no label covers harmless swear words."""

SCORED: Final = (*ATTRIBUTES, PROFANITY)

TEXT_TYPES: Final = ("PLAIN_TEXT", "TEXT_TYPE_UNSPECIFIED")
SCORE_TYPES: Final = ("PROBABILITY", "SCORE_TYPE_UNSPECIFIED")

_KNOWN_OR_DROPPED: Final = [
    {"properties": {"requestedAttributes": {"propertyNames": {"enum": list(SCORED)}}}},
    {
        "properties": {"dropUnsupportedAttributes": {"const": True}},
        "required": ["dropUnsupportedAttributes"],
    },
]

MAX_LANGUAGES: Final = 64

JUDGED: Final = r"^[Ee][Nn](-[A-Za-z0-9-]+)?$"
"""Tags of English, which every classifier judges."""

blueprint = StrictBlueprint(
    "comments",
    __name__,
    description="The Perspective API",
    rules={"AnalyzeRequest": {"anyOf": _KNOWN_OR_DROPPED}},
)


def _flag(description: str) -> StrictBoolean:
    return StrictBoolean(allow_none=True, metadata={"description": description})


def _optional_text(description: str) -> fields.String:
    return fields.String(allow_none=True, metadata={"description": description})


def _check_languages(languages: Sequence[str]) -> None:
    judged = current_state().moderator.classifier.identity.languages
    if languages and not any(re.split("[-_]", each)[0].lower() in judged for each in languages):
        raise ValidationError(f"Must contain a language that is judged: {', '.join(sorted(judged))}.")


def _check_not_empty(attributes: Mapping[str, object]) -> None:
    if not attributes:
        raise ValidationError("Must name at least one attribute.")


class CommentSchema(Schema):
    """The text."""

    text = fields.String(
        required=True,
        validate=check_foreign_text,
        metadata={"example": "Thank you, that was kind of you.", **FOREIGN_TEXT},
    )
    type = fields.String(
        validate=validate.OneOf(TEXT_TYPES, error="Must be PLAIN_TEXT: HTML is not understood."),
        allow_none=True,
    )


class AttributeParametersSchema(Schema):
    """The options of an attribute."""

    scoreType = fields.String(
        validate=validate.OneOf(SCORE_TYPES, error="Must be PROBABILITY."), allow_none=True
    )
    scoreThreshold = fields.Float(
        validate=validate.Range(0, 1),
        allow_none=True,
        metadata={"description": "Lower scores are left out."},
    )


class AnalyzeRequestSchema(Schema):
    """The request of Perspective's clients."""

    comment = fields.Nested(CommentSchema, required=True)
    requestedAttributes = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(AttributeParametersSchema, allow_none=True),
        required=True,
        validate=_check_not_empty,
        metadata={
            "minProperties": 1,
            "maxProperties": MAX_MEMBERS,
            "description": f"Of these: {', '.join(SCORED)}.",
            "example": {"TOXICITY": {}, "THREAT": {"scoreThreshold": 0.5}},
        },
    )
    languages = fields.List(
        fields.String(metadata={"example": "en"}),
        allow_none=True,
        validate=[validate.Length(max=MAX_LANGUAGES), _check_languages],
        metadata={
            "description": "The languages of the text; at least one must be judged.",
            "anyOf": [{"maxItems": 0}, {"contains": {"pattern": JUDGED}}],
        },
    )
    doNotStore = _flag("Nothing about the text is stored.")
    spanAnnotations = _flag("Each sentence is scored as well.")
    dropUnsupportedAttributes = _flag("Attributes that are not scored are left out instead of refused.")
    clientToken = _optional_text("Repeated in the answer.")
    sessionId = _optional_text("Not used.")
    communityId = _optional_text("Not used.")
    context = fields.Dict(allow_none=True, metadata={"description": "Not used."})

    @validates_schema(skip_on_field_errors=True)
    def _check_attributes(self, data: Mapping[str, Any], **_: Any) -> None:
        known = f"Not scored by this service, which scores {', '.join(SCORED)}."
        unknown = [name for name in data["requestedAttributes"] if name not in SCORED]
        if unknown and not data.get("dropUnsupportedAttributes"):
            raise ValidationError({"requestedAttributes": {name: [known] for name in unknown}})


class QuerySchema(Schema):
    """The query parameters of Google's clients."""

    class Meta:
        unknown = EXCLUDE

    key = fields.String(metadata={"description": "An API key, if the service requires one."})


class ScoreSchema(Schema):
    """A score."""

    value = fields.Float(required=True, validate=validate.Range(0, 1))
    type = fields.String(required=True, validate=validate.OneOf(["PROBABILITY"]))


class SpanScoreSchema(Schema):
    """The score of a part of the text."""

    begin = fields.Integer(required=True, metadata={"description": "In UTF-16 code units of the text."})
    end = fields.Integer(required=True)
    score = fields.Nested(ScoreSchema, required=True)


class AttributeScoresSchema(Schema):
    """The scores of one attribute."""

    summaryScore = fields.Nested(ScoreSchema, required=True)
    spanScores = fields.List(fields.Nested(SpanScoreSchema), required=True)


class AnalyzeAnswerSchema(Schema):
    """The answer for Perspective's clients."""

    attributeScores = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(AttributeScoresSchema),
        metadata={"description": "Absent if every score is below its threshold."},
    )
    languages = fields.List(fields.String(), required=True)
    detectedLanguages = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "The language of the text; und if it cannot be determined."},
    )
    clientToken = fields.String()


@blueprint.route("/v1alpha1/comments:analyze", methods=["POST"])
@blueprint.arguments(QuerySchema(), location="query")
@blueprint.arguments(AnalyzeRequestSchema(), location="json")
@blueprint.doc(operationId="analyzeComment")
@blueprint.response(200, AnalyzeAnswerSchema(), example=example.COMMENT)
@blueprint.failures(*ANSWERABLE, error_format=PERSPECTIVE_ERRORS)
def analyze(_query: object, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], int, Mapping[str, str]]:
    """Score a comment as the Perspective API does."""
    state, moderator = current_state(), current_state().moderator
    text = body["comment"]["text"]
    state.charge([text])
    context = state.call_context(leave_no_trace=bool(body.get("doNotStore")))
    if body.get("spanAnnotations"):
        verdict, spans = moderator.moderate_by_sentence(text, context)
        parts = [
            (each.begin, each.end, _Part(text[each.begin : each.end], each.verdict.classification))
            for each in spans
        ]
    else:
        [verdict] = moderator.moderate([text], context)
        parts = [(0, len(text), _Part(text, verdict.classification))]
    record_verdicts([text], [verdict])
    units = _utf16_places(text, [place for begin, end, _ in parts for place in (begin, end)])
    placed = [(units[begin], units[end], each) for begin, end, each in parts]
    whole = _Part(text, verdict.classification)
    scores = dict(_attribute_scores(body["requestedAttributes"], whole, placed))
    detected = verdict.language.code
    languages = body.get("languages") or [detected]
    answer: dict[str, Any] = {"languages": languages, "detectedLanguages": [detected]}
    if scores:
        answer["attributeScores"] = scores
    if body.get("clientToken") is not None:
        answer["clientToken"] = body["clientToken"]
    return answer, 200, source_headers([verdict])


@blueprint.route(PATH)
@blueprint.doc(operationId="discover", security=[])
@blueprint.response(200, {"type": "object"}, description="A Google API discovery document.")
@blueprint.failures(500)
def discovery() -> Response:
    """Return the description of comments:analyze for Google's API clients."""
    return jsonify(discovery_document(request.host_url, SCORED))


def _attribute_scores(
    requested: Mapping[str, Mapping[str, Any] | None],
    whole: "_Part",
    parts: "Sequence[tuple[int, int, _Part]]",
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the scores of each attribute, without those below its threshold."""
    for name, parameters in requested.items():
        threshold = (parameters or {}).get("scoreThreshold") or 0.0
        if name not in SCORED or whole.score(name) < threshold:
            continue
        spans = [
            {"begin": begin, "end": end, "score": _score(name, part)}
            for begin, end, part in parts
            if part.score(name) >= threshold
        ]
        yield name, {"summaryScore": _score(name, whole), "spanScores": spans}


def attribute_score(name: str, classification: Classification) -> float:
    """Return the score of one of ``ATTRIBUTES``."""
    labels = ATTRIBUTES[name]
    return max(classification.scores[label] for label in labels) if labels else classification.unsafe


class _Part:
    """
    A text or a sentence, and its classification.

    Args:
        text: The text as sent.
        classification: Its classification.
    """

    def __init__(self, text: str, classification: Classification) -> None:
        self._text = text
        self._classification = classification

    def score(self, name: str) -> float:
        """Return the score of one of ``SCORED``."""
        return self._profanity if name == PROFANITY else attribute_score(name, self._classification)

    @cached_property
    def _profanity(self) -> float:
        return profanity(clean(self._text))


def _score(name: str, part: _Part) -> Mapping[str, Any]:
    return {"value": probability(part.score(name), name), "type": "PROBABILITY"}


def _utf16_places(text: str, places: Sequence[int]) -> Mapping[int, int]:
    """Convert positions from code points to UTF-16 code units, which Perspective uses."""
    if text.isascii():
        return {place: place for place in places}
    return {place: len(text[:place].encode("utf-16-le")) // 2 for place in places}
