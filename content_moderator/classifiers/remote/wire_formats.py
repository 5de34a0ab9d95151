"""
The wire formats of remote classifiers: how requests are encoded and replies decoded.

This module does no input or output. Replies are not trusted: they are parsed strictly, and anything that is
not exactly an answer is an error.

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
"""The largest Retry-After of a remote server that is passed on to callers."""

Scores = dict[Label, float]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """
    The format of requests and replies of a kind of server.

    Args:
        path: The path that is added to a configured URL without a path; None to add nothing.
        needs_token: Whether the server requires a token.
        encode_request: Returns the body of a request for all nine labels of texts, given the model's name.
        answers_of: Returns the list of answers in a decoded reply, given the number of texts.
    """

    path: str | None
    needs_token: bool
    encode_request: Callable[[Sequence[str], str], bytes]
    answers_of: Callable[[Any, int], Any]

    def decode_reply(self, body: bytes, *, texts: int) -> list[Scores]:
        """
        Decode a reply with status 200.

        Args:
            body: The reply's bytes.
            texts: The number of texts in the request.
        Returns:
            The nine scores of each text. It is not yet checked that they are probabilities.
        Raises:
            BadReplyError: The reply does not have exactly nine labels for each text.
        """
        answers = self.answers_of(_json(body), texts)
        if not isinstance(answers, list) or not answers:
            raise BadReplyError("the reply is not a list of scores")
        if len(answers) != texts:
            raise BadReplyError(f"{texts} texts were sent and {len(answers)} answers came")
        return [_scores(answer) for answer in answers]


def _encode_for_hugging_face(texts: Sequence[str], _model: str) -> bytes:
    """Return the body; a single text is sent as a string."""
    return orjson.dumps(
        {
            "inputs": texts[0] if len(texts) == 1 else list(texts),
            "parameters": {"top_k": len(Label), "function_to_apply": "softmax"},
        }
    )


def _encode_for_tei(texts: Sequence[str], _model: str) -> bytes:
    """Return the body; each text has its own list, because two texts in one list would be a pair."""
    return orjson.dumps({"inputs": [[text] for text in texts], "truncate": True, "raw_scores": False})


def _encode_for_infinity(texts: Sequence[str], model: str) -> bytes:
    return orjson.dumps({"model": model, "input": list(texts), "raw_scores": False})


def _bare(reply: Any, texts: int) -> Any:
    """Return the list of answers; for a single text, the reply can be its nine scores alone."""
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
    Return the error for a reply whose status is not 200.

    Args:
        status: HTTP status code.
        headers: Case-insensitive.
        body: The bytes of the reply, perhaps truncated.
    Returns:
        The error to raise, which says whether and when a retry can help.
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
    Parse a Retry-After header: whole seconds or an HTTP date (RFC 9110, 10.2.3).

    Returns:
        Seconds from now, from 0 to ``MAX_RETRY_AFTER_SECONDS``; None if absent or invalid.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        # float() would return infinity for a thousand digits.
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
    """
    Return the error for a 503. A loading model is reported in JSON, with or without an estimate, or in plain
    text.
    """
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
        raise BadReplyError("an answer has something other than a known label and its score") from error
