"""Examples of answers for the OpenAPI description."""

from typing import Any, Final

from content_moderator.domain.label import HARMS

REQUEST_ID: Final = "8bfdb0ad6af04e36abfe100b8847c2bf"

_SCORES: Final = {
    "HR": ("harassment", 0.9732),
    "H": ("hate", 0.0653),
    "H2": ("hate/threatening", 0.0279),
    "OK": ("ok", 0.0261),
    "S": ("sexual", 0.0205),
    "V": ("violence", 0.0071),
    "S3": ("sexual/minors", 0.0016),
    "V2": ("violence/graphic", 0.0008),
    "SH": ("self-harm", 0.0002),
}
_RESULT: Final[dict[str, Any]] = {
    "labels": [
        {"label": label, "category": category, "score": score} for label, (category, score) in _SCORES.items()
    ],
    "flagged": True,
    "decision": "review",
    "reasons": [
        {
            "rule": "score",
            "label": "HR",
            "category": "harassment",
            "score": 0.9732,
            "threshold": 0.47,
            "action": "review",
        }
    ],
    "language": {"code": "en", "certain": True, "judged": True},
    "policy": {"name": "default", "version": "08bc8a2bf6bc"},
    "classifier": {
        "name": "embedded",
        "model": "content-moderator-embedded",
        "revision": "724851204087+7c7f2b2b",
    },
    "cache": {"status": "miss", "distance": None},
    "degraded": False,
    "request_id": REQUEST_ID,
}
_BLANK: Final = {
    "error": {
        "status": 422,
        "code": "invalid_fields",
        "detail": "Must not be empty or only white space.",
    },
    "request_id": REQUEST_ID,
}

VERDICT: Final = _RESULT
BATCH: Final = {"results": [_RESULT, _BLANK], "request_id": REQUEST_ID}


def moderation(unscored: tuple[str, ...]) -> dict[str, Any]:
    """Return an example answer of /v1/moderations; *unscored* are the categories without a score."""
    scores = {harm.category: _SCORES[harm.value][1] for harm in HARMS}
    result = {
        "flagged": True,
        "categories": {name: name == "harassment" for name in (*scores, *unscored)},
        "category_scores": scores | dict.fromkeys(unscored, 0.0),
        "category_applied_input_types": {name: ["text"] for name in scores} | {name: [] for name in unscored},
    }
    return {"id": f"modr-{REQUEST_ID}", "model": "omni-moderation-latest", "results": [result]}


_SCORE: Final = {"value": 0.9732, "type": "PROBABILITY"}

COMMENT: Final = {
    "attributeScores": {
        "INSULT": {"summaryScore": _SCORE, "spanScores": [{"begin": 0, "end": 29, "score": _SCORE}]}
    },
    "languages": ["en"],
    "detectedLanguages": ["en"],
}
