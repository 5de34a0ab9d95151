"""The schemas of answers: a verdict with all its parts, and the results of a batch."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from content_moderator.domain.action import CONSEQUENCES, Action
from content_moderator.domain.classification import is_probability
from content_moderator.domain.label import Label
from content_moderator.domain.verdict import REASON_NAMES, RULE_NAMES
from content_moderator.web.request_record import current_record


class Score(fields.Float):
    """A probability, rounded to six digits and checked on output as well; see `probability`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(0, 1), **kwargs)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> float:
        return probability(value, attr)


class LabelScoreSchema(Schema):
    """One label and its score."""

    label = fields.String(required=True, validate=validate.OneOf([label.value for label in Label]))
    category = fields.String(required=True)
    score = Score(required=True)


class RankedLabels(fields.List[Any]):
    """
    The scores of all labels, each in the layout of `LabelScoreSchema`.

    They are dumped by hand, because nine nested dumps cost more than the rest of the answer; a test compares
    both.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            fields.Nested(LabelScoreSchema), validate=validate.Length(equal=len(Label)), **kwargs
        )

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> list[Any]:
        return [
            {
                "label": each["label"],
                "category": each["category"],
                "score": probability(each["score"], each["label"]),
            }
            for each in value
        ]


def probability(value: object, name: object) -> float:
    """
    Return a probability, rounded to six digits.

    Raises:
        ValueError: The value is no probability. marshmallow does not validate what it dumps, and would send
            7.
    """
    if not is_probability(value):
        raise ValueError(f"{name} is not a probability")
    return round(float(value), 6)


class ReasonSchema(Schema):
    """One rule of the policy that the text met."""

    rule = fields.String(
        required=True,
        validate=validate.OneOf(["score", "term", "language"]),
        metadata={
            "description": "The kind of rule: a threshold, a listed term, or a language that is not judged."
        },
    )
    label = fields.String(required=True, validate=validate.OneOf(REASON_NAMES))
    category = fields.String(required=True)
    score = Score(required=True)
    threshold = Score(required=True)
    action = fields.String(required=True, validate=validate.OneOf([action.value for action in CONSEQUENCES]))
    term = fields.String(metadata={"description": "The listed term that was found."})


class PolicySchema(Schema):
    """What decided."""

    name = fields.String(required=True)
    version = fields.String(
        required=True, metadata={"description": "Changes only if thresholds or terms change."}
    )


class LanguageSchema(Schema):
    """In which language the text is."""

    code = fields.String(required=True, metadata={"description": "ISO 639; und if it cannot be determined."})
    certain = fields.Boolean(
        required=True, metadata={"description": "Whether the text is long enough to determine it."}
    )
    judged = fields.Boolean(
        required=True, metadata={"description": "Whether the classifier judges this language."}
    )


class ClassifierSchema(Schema):
    """Who gave the scores."""

    name = fields.String(required=True)
    model = fields.String(required=True)
    revision = fields.String(required=True)


class CacheSchema(Schema):
    """How the cache took part; distance is in edits, null for a miss."""

    status = fields.String(required=True, validate=validate.OneOf(["miss", "exact", "similar"]))
    distance = fields.Integer(required=True, allow_none=True)


class SpanSchema(Schema):
    """A sentence and its own scores."""

    begin = fields.Integer(required=True, metadata={"description": "In code points of the text as sent."})
    end = fields.Integer(required=True)
    labels = RankedLabels(required=True)
    decision = fields.String(required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)


class ContributionSchema(Schema):
    """What one word adds to the log-odds."""

    word = fields.String(required=True, metadata={"description": "The word after normalization."})
    begin = fields.Integer(required=True, metadata={"description": "In code points of the text as sent."})
    end = fields.Integer(required=True)
    weight = fields.Float(required=True)


class ExplanationSchema(Schema):
    """One score taken apart: log_odds is base plus the weights of all words plus second_opinion."""

    label = fields.String(required=True, validate=validate.OneOf(RULE_NAMES))
    log_odds = fields.Float(required=True)
    base = fields.Float(required=True)
    second_opinion = fields.Float(
        required=True,
        metadata={"description": "The contribution of the sentence encoder; 0 if it was not used."},
    )
    words = fields.List(fields.Nested(ContributionSchema), required=True)


class VerdictSchema(Schema):
    """
    The answer about one text; spans and explanation only if they were asked for.

    `Verdict.as_dict` has the same layout, so only the scores are checked on output. Nested dumps cost more
    than the rest of the answer; a test compares the layout with this schema.
    """

    labels = RankedLabels(
        required=True,
        metadata={"description": "All nine labels, highest score first."},
    )
    flagged = fields.Boolean(
        required=True, metadata={"description": "Whether there is any reason for review or block."}
    )
    decision = fields.String(required=True, validate=validate.OneOf([action.value for action in Action]))
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)
    language = fields.Nested(LanguageSchema, required=True)
    policy = fields.Nested(PolicySchema, required=True)
    classifier = fields.Nested(ClassifierSchema, required=True)
    cache = fields.Nested(CacheSchema, required=True)
    degraded = fields.Boolean(
        required=True,
        metadata={"description": "True if a stand-in answered for the chosen classifier."},
    )
    spans = fields.List(
        fields.Nested(SpanSchema), metadata={"description": "The sentences, if spans was true."}
    )
    explanation = fields.List(
        fields.Nested(ExplanationSchema),
        allow_none=True,
        metadata={
            "description": "If explain was true: for each reason, or for any violation if there is none, the "
            "words that led to the score. null if the classifier that answered cannot be taken apart."
        },
    )
    request_id = fields.Function(
        lambda _: current_record().request_id,
        metadata={"type": "string", "description": "As in X-Request-ID."},
    )

    def dump(self, obj: Mapping[str, Any], *, many: bool | None = None) -> Any:
        """
        Return a verdict in the layout of the answer.

        Raises:
            ValueError: A score is no probability.
        """
        for each in (*obj.get("labels", ()), *obj.get("reasons", ())):
            probability(each["score"], each["label"])
        answer = {name: obj[name] for name in self.dump_fields if name in obj}
        for name in ("explanation", "request_id"):
            if (name in obj or name == "request_id") and (field := self.dump_fields.get(name)):
                answer[name] = field.serialize(name, obj)
        return answer


class ItemErrorSchema(Schema):
    """What stood in the way of one text of a batch."""

    status = fields.Integer(
        required=True, metadata={"description": "The HTTP status of a request with this text alone."}
    )
    code = fields.String(required=True, metadata={"description": "The stable code of this kind of error."})
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})


class BatchResultSchema(VerdictSchema):
    """The answer about one text of a batch, or only its error."""

    class Meta:
        exclude = ("spans", "explanation")

    error = fields.Nested(ItemErrorSchema)


class BatchAnswerSchema(Schema):
    """The answers about all texts of a batch, in their order."""

    results = fields.List(fields.Nested(BatchResultSchema(partial=True)), required=True)
    request_id = fields.Function(
        lambda _: current_record().request_id,
        metadata={"type": "string", "description": "As in X-Request-ID."},
    )
