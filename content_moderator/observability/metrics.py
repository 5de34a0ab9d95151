"""
The Prometheus metrics, which several worker processes share.

Under gunicorn each worker writes to its own files in ``PROMETHEUS_MULTIPROC_DIR``. They are named after a
slot, which gunicorn.conf.py gives to another worker when this one has ended. So counters stay exact over
restarts, and there are never more files than workers at the same time.
"""

import itertools
import os
import platform
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from content_moderator import __version__
from content_moderator.domain.action import CONSEQUENCES, Action
from content_moderator.domain.errors import (
    AnswerableError,
    BadReplyError,
    ClassifierError,
    DeadlineExceededError,
    RequestRefusedError,
    answerable_errors,
)
from content_moderator.domain.verdict import REASON_NAMES
from content_moderator.observability import metric_files
from content_moderator.observability.server_metrics import Reloads, Workers

_log = structlog.get_logger(__name__)

_DIRECTORY: Final = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_SLOT: Final = os.environ.get("MODERATOR_METRICS_SLOT")

_metric_losses: list[OSError] = []

if _DIRECTORY and _SLOT:
    # prometheus_client requires that this is set before the first metric is created.
    metric_files.install(values)
    metric_files.AllocatedDict.on_loss = staticmethod(_metric_losses.append)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _SLOT)  # type: ignore[no-untyped-call]

METHOD_NAMES: Final = {"classify.classify": "classify", "operations.healthcheck": "healthcheck"}
"""The name of the counter of each endpoint, as in the service that this one replaces."""

METHOD_CALLS: Final = {
    endpoint: Counter(name, f"Calls of {name}.") for endpoint, name in METHOD_NAMES.items()
}

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

BUILD_INFO: Final = Gauge(
    "content_moderator_build_info",
    "Always 1; the labels have the versions.",
    ("version", "python"),
    multiprocess_mode="livemax",
)
HTTP_REQUESTS: Final = Counter(
    "content_moderator_http_requests",
    "Answered requests, by endpoint, method and class of status.",
    ("endpoint", "method", "status"),
)
HTTP_REQUEST_SECONDS: Final = Histogram(
    "content_moderator_http_request_duration_seconds",
    "Time from the headers of the request to the response, in seconds.",
    ("endpoint",),
    buckets=_SECONDS,
)
HTTP_REQUESTS_IN_PROGRESS: Final = Gauge(
    "content_moderator_http_requests_in_progress",
    "Requests in progress.",
    multiprocess_mode="livesum",
)
ERRORS: Final = Counter("content_moderator_errors", "Error responses, by stable code.", ("code",))
DECISIONS: Final = Counter(
    "content_moderator_decisions",
    "Judged texts, by classifier and decision.",
    ("classifier", "decision"),
)
REASONS: Final = Counter(
    "content_moderator_reasons",
    "Reasons of decisions, by classifier, label and action.",
    ("classifier", "label", "action"),
)
LANGUAGES: Final = Counter(
    "content_moderator_texts_by_language",
    "Judged texts, by language (ISO 639, or other) and whether the classifier judges it.",
    ("language", "judged"),
)
SECOND_OPINIONS: Final = Counter(
    "content_moderator_second_opinions",
    "Texts that the embedded model's sentence encoder has scored as well.",
)
COUNTED_LANGUAGES: Final = (
    "en",
    "ar",
    "de",
    "es",
    "fr",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt",
    "ru",
    "th",
    "tr",
    "zh",
)
"""Languages with their own label value; others are counted as "other"."""

CLASSIFIER_CALLS: Final = Counter(
    "content_moderator_classifier_calls",
    "Calls to a classifier, by outcome: ok, or the code of the error.",
    ("classifier", "outcome"),
)
CLASSIFIER_CALL_SECONDS: Final = Histogram(
    "content_moderator_classifier_call_duration_seconds",
    "Duration of calls to a classifier, in seconds.",
    ("classifier",),
    buckets=_SECONDS,
)

RETRIES: Final = Counter(
    "content_moderator_classifier_retries",
    "Retried calls to the classifier, by the code of the failure.",
    ("reason",),
)
RETRY_BUDGET_EXHAUSTED: Final = Counter(
    "content_moderator_classifier_retry_budget_exhausted",
    "Failed calls that were not retried because the retry budget was exhausted.",
)
BREAKER_STATE: Final = Gauge(
    "content_moderator_classifier_breaker_state",
    "Workers whose circuit breaker is in this state.",
    ("state",),
    multiprocess_mode="livesum",
)
BREAKER_TRANSITIONS: Final = Counter(
    "content_moderator_classifier_breaker_transitions",
    "Changes of a circuit breaker, by new state.",
    ("state",),
)
BATCH_TEXTS: Final = Histogram(
    "content_moderator_classifier_batch_texts",
    "Texts in one call.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
BATCHES_SPLIT: Final = Counter(
    "content_moderator_classifier_batches_split",
    "Batches that failed as a whole and were halved, by the code of the error.",
    ("reason",),
)
QUEUE_SECONDS: Final = Histogram(
    "content_moderator_classifier_queue_duration_seconds",
    "Time from the arrival of each text to the start of its call, in seconds.",
    buckets=_SECONDS,
)
CALLS_IN_FLIGHT: Final = Gauge(
    "content_moderator_classifier_calls_in_flight",
    "Batches in progress, including retries and pauses.",
    multiprocess_mode="livesum",
)
CALLS_SAVED: Final = Counter(
    "content_moderator_classifier_calls_saved",
    "Calls that were saved: the text was already in progress (shared), or sent with others (batched).",
    ("reason",),
)
CHUNKED: Final = Counter(
    "content_moderator_classifier_divided_texts",
    "Texts that were longer than the limit of the model, and were scored in parts.",
)
DEOBFUSCATED: Final = Counter(
    "content_moderator_classifier_disguised_texts",
    "Texts with disguised words, which were scored as written and deobfuscated.",
)
SHED: Final = Counter(
    "content_moderator_requests_shed", "Calls refused because the queue was full: 503 overloaded."
)
DEGRADED: Final = Counter(
    "content_moderator_degraded",
    "Texts that the stand-in answered, by the code of the failure.",
    ("code",),
)
READINESS: Final = Gauge(
    "content_moderator_readiness",
    "Workers in this state: warming, ready, degraded or unavailable.",
    ("state",),
    multiprocess_mode="livesum",
)

CACHE_LOOKUPS: Final = Counter(
    "content_moderator_cache_lookups",
    "Look-ups in the cache, by layer and result.",
    ("layer", "result"),
)
CACHE_LOOKUP_SECONDS: Final = Histogram(
    "content_moderator_cache_lookup_duration_seconds",
    "Duration of a look-up including the guard, in seconds.",
    ("layer",),
    buckets=(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5),
)
CACHE_ENTRIES: Final = Gauge(
    "content_moderator_cache_entries", "Answers in the caches of the workers.", multiprocess_mode="livesum"
)
CACHE_BYTES: Final = Gauge(
    "content_moderator_cache_bytes",
    "Estimated size of the cached answers, in bytes.",
    multiprocess_mode="livesum",
)
CACHE_EVICTIONS: Final = Counter(
    "content_moderator_cache_evictions",
    "Answers removed from the cache: too many entries or bytes, expired, or replaced.",
    ("reason",),
)
GUARD_REFUSALS: Final = Counter(
    "content_moderator_cache_guard_refusals",
    "Near copies whose answer was not used, by the reason of the guard.",
    ("reason",),
)
CACHE_SAMPLES: Final = Counter(
    "content_moderator_cache_samples",
    "Answers from near copies that were checked with the classifier, by result.",
    ("result",),
)
SHARED_FAILURES: Final = Counter(
    "content_moderator_cache_shared_failures",
    "Failed exchanges with the shared cache, and unusable values, by reason.",
    ("reason",),
)

KEY_SET_FETCHES: Final = Counter(
    "content_moderator_key_set_fetches",
    "Fetches of the identity provider's keys, by result.",
    ("result",),
)
LOG_FAILURES: Final = Counter(
    "content_moderator_log_failures",
    "Log lines that could not be written, or were dropped because too many were waiting.",
)
AUDIT_FAILURES: Final = Counter(
    "content_moderator_audit_failures", "Decisions that could not be written to the audit log."
)
LIMIT_STORAGE_FAILURES: Final = Counter(
    "content_moderator_rate_limit_storage_failures",
    "Failed exchanges with the server of the rate limits.",
)

HTTP_ERROR_CODES: Final = ("not_found", "method_not_allowed", "bad_request", "internal_error")
"""Codes of errors that are not in the tree of `content_moderator.domain.errors`."""


RETRYABLE_CODES: Final = (
    *(error.code for error in answerable_errors(ClassifierError) if getattr(error, "retryable", False)),
    DeadlineExceededError.code,
)


def codes(root: type[AnswerableError]) -> list[str]:
    """Return the stable codes of the errors below *root*."""
    return [error.code for error in answerable_errors(root)]


_CLOSED: Final = {
    DEGRADED: codes(ClassifierError),
    RETRIES: ("stale_connection", *RETRYABLE_CODES),
    BREAKER_TRANSITIONS: ("closed", "open", "half_open"),
    BATCHES_SPLIT: (BadReplyError.code, RequestRefusedError.code),
    CALLS_SAVED: ("shared", "batched"),
    KEY_SET_FETCHES: ("ok", "failed"),
    CACHE_EVICTIONS: ("entries", "bytes", "expired", "replaced"),
}
"""All values of the label of metrics with one label."""


def initialise(classifier: str) -> None:
    """Set all combinations of labels to 0, so that rates exist before the first event."""
    metric_files.AllocatedDict.on_loss = staticmethod(_tell_loss)
    for error in _metric_losses:
        _tell_loss(error)
    _metric_losses.clear()
    BUILD_INFO.labels(__version__, platform.python_version()).set(1)
    for code in (*HTTP_ERROR_CODES, *codes(AnswerableError)):
        ERRORS.labels(code)
    for action in Action:
        DECISIONS.labels(classifier, action.value)
    for name, action in itertools.product(REASON_NAMES, CONSEQUENCES):
        REASONS.labels(classifier, name, action.value)
    for outcome in ("ok", "internal_error", *codes(ClassifierError)):
        CLASSIFIER_CALLS.labels(classifier, outcome)
    CLASSIFIER_CALL_SECONDS.labels(classifier)
    for code, judged in itertools.product((*COUNTED_LANGUAGES, "other"), ("true", "false")):
        LANGUAGES.labels(code, judged)
    for metric, values_of_its_label in _CLOSED.items():
        for value in values_of_its_label:
            metric.labels(value)


def counted_language(code: str) -> str:
    """Return the label value of a language, one of a fixed set."""
    return code if code in COUNTED_LANGUAGES else "other"


def _tell_loss(error: OSError) -> None:
    _log.error("metrics_not_written", reason=error.strerror)


REGISTRY.register(Reloads())


def exposition(accept: str) -> tuple[bytes, str]:
    """
    Return all metrics for a scrape.

    Args:
        accept: The scraper's Accept header.
    Returns:
        The page and its content type; with several workers, the sum over all of them.
    """
    registry = REGISTRY
    if _DIRECTORY:
        registry = CollectorRegistry()
        if Path(_DIRECTORY).is_dir():
            MultiProcessCollector(registry, path=_DIRECTORY)  # type: ignore[no-untyped-call]
        registry.register(Reloads())
        registry.register(Workers())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
