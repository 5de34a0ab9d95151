"""
The wire formats of remote classifiers: how requests are encoded and replies decoded.

Nothing here touches the network. Every reply is untrusted: it is taken apart strictly, and whatever
is not exactly an answer is an error.

Source:
    Hugging Face: https://huggingface.co/docs/inference-providers/tasks/text-classification, and the serving
    code, huggingface-inference-toolkit: a single input without ``top_k`` silently loses four labels, and a
    list without it answers in a shape that looks like one text with two labels. Text Embeddings Inference:
    its OpenAPI description of ``/predict``; a flat list of two strings is one pair of sentences there.
    infinity: its ``/classify``, in OpenAI's style.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeGuard

import orjson

from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    ClassifierUnavailableError,
    CredentialsRefusedError,
    ModelNotFoundError,
    QuotaExhaustedError,
    RequestRefusedError,
    ThrottledError,
    WarmingUpError,
)
from content_moderator.domain.label import Label

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
"""No upstream may send our callers away for longer than this."""

Scores = dict[Label, float]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """
    A server's way to say things.

    Args:
        path: Where it answers, if the configured URL has no path; None if that is the whole address.
        needs_token: Whether it answers nobody without one.
        encode_request: Writes the body that asks for all nine labels of texts, given the model's name.
        answers_of: Finds the list of answers in a decoded reply, given how many texts were sent.
    """

    path: str | None
    needs_token: bool
    encode_request: Callable[[Sequence[str], str], bytes]
    answers_of: Callable[[Any, int], Any]

    def decode_reply(self, body: bytes, *, texts: int) -> list[Scores]:
        """
        Read a reply with status 200.

        Args:
            body: The reply's bytes.
            texts: How many texts were sent.
        Returns:
            The nine scores of each text, not yet checked to be probabilities.
        Raises:
            BadReplyError: It is anything else than all nine labels for each text.
        """
        answers = self.answers_of(_json(body), texts)
        if not isinstance(answers, list) or not answers:
            raise BadReplyError("the reply is not a list of scores")
        if len(answers) != texts:
            raise BadReplyError(f"{texts} texts were sent and {len(answers)} answers came")
        return [_scores(answer) for answer in answers]


def _encode_for_hugging_face(texts: Sequence[str], _model: str) -> bytes:
    """Write the body; one text goes as a string."""
    return orjson.dumps(
        {
            "inputs": texts[0] if len(texts) == 1 else list(texts),
            "parameters": {"top_k": len(Label), "function_to_apply": "softmax"},
        }
    )


def _encode_for_tei(texts: Sequence[str], _model: str) -> bytes:
    """Write the body; each text in a list of its own, for two in one list would be a pair."""
    return orjson.dumps({"inputs": [[text] for text in texts], "truncate": True, "raw_scores": False})


def _encode_for_infinity(texts: Sequence[str], model: str) -> bytes:
    return orjson.dumps({"model": model, "input": list(texts), "raw_scores": False})


def _bare(reply: Any, texts: int) -> Any:
    """One text may be answered by its nine scores alone."""
    flat = isinstance(reply, list) and reply and isinstance(reply[0], dict)
    return [reply] if flat and texts == 1 else reply


def _data(reply: Any, _texts: int) -> Any:
    return reply.get("data") if isinstance(reply, dict) else None


HUGGING_FACE: Final = WireFormat(None, True, _encode_for_hugging_face, _bare)
WIRE_FORMATS: Final[Mapping[str, WireFormat]] = {
    "hf": HUGGING_FACE,
    "tei": WireFormat("/predict", False, _encode_for_tei, _bare),
    "infinity": WireFormat("/classify", False, _encode_for_infinity, _data),
}
"""By their names in ``classifier.config.protocol``."""


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ClassifierError:
    """
    Return what a reply with another status than 200 means.

    Args:
        status: HTTP status code.
        headers: Case-insensitive.
        body: The reply's bytes, perhaps cut off.
    Returns:
        The error to raise; it knows whether the call is worth repeating, and when.
    """
    retry_after = retry_after_seconds(headers.get("Retry-After"))
    reason = f"status {status}"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return _unavailable(reason, body, retry_after)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ThrottledError(reason, retry_after_seconds=retry_after)
    if error := _BY_STATUS.get(status):
        return error(reason)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return RequestRefusedError(reason)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ClassifierUnavailableError(reason, retry_after_seconds=retry_after)
    return BadReplyError(reason)


_BY_STATUS: Final[Mapping[int, type[ClassifierError]]] = {
    401: CredentialsRefusedError,
    402: QuotaExhaustedError,
    403: CredentialsRefusedError,
    404: ModelNotFoundError,
    408: ClassifierUnavailableError,
    410: ModelNotFoundError,
    424: ClassifierUnavailableError,  # the backend behind Text Embeddings Inference failed
}


def retry_after_seconds(value: str | None) -> float | None:
    """
    Read a Retry-After header: whole seconds or an HTTP date (RFC 9110, 10.2.3).

    Returns:
        Seconds from now, from 0 to ``MAX_RETRY_AFTER_SECONDS``; None if absent or garbage.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        # A number of a thousand digits is a number too, but not for float().
        return _bounded(float(value[:12]))
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    return _bounded((when - datetime.now(UTC)).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _unavailable(reason: str, body: bytes, retry_after: float | None) -> ClassifierError:
    """A model that is loading says so in JSON, with or without an estimate, or in plain text."""
    try:
        reply = _json(body)
    except BadReplyError:
        reply = None
    estimate = reply.get("estimated_time") if isinstance(reply, dict) else None
    if _is_number(estimate):
        seconds = retry_after if retry_after is not None else _bounded(estimate)
        return WarmingUpError(reason, retry_after_seconds=seconds)
    if b"loading" in body.lower():
        return WarmingUpError(reason, retry_after_seconds=retry_after)
    return ClassifierUnavailableError(reason, retry_after_seconds=retry_after)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReplyError("the reply is not JSON") from error


def _scores(answer: object) -> Scores:
    if not isinstance(answer, list) or len(answer) != len(Label):
        raise BadReplyError("an answer does not have nine labels")
    try:
        return {Label(item["label"]): item["score"] for item in answer}
    except (TypeError, KeyError, ValueError) as error:
        raise BadReplyError("an answer has something else than a known label and its score") from error
