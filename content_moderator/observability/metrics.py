"""
The Prometheus metrics, and how several worker processes share them.

Under gunicorn each worker writes to files of its own in ``PROMETHEUS_MULTIPROC_DIR``, named after a
slot that gunicorn.conf.py hands out again when a worker has gone: counters stay exact over restarts,
and there are never more files than workers alive at once.
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
    # Chosen before the first metric below is made, as prometheus_client asks.
    metric_files.install(values)
    metric_files.AllocatedDict.on_loss = staticmethod(_metric_losses.append)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _SLOT)  # type: ignore[no-untyped-call]

METHOD_NAMES: Final = {"classify.classify": "classify", "operations.healthcheck": "healthcheck"}
"""From endpoint to the name of its counter, as in the service that this one replaces."""

METHOD_CALLS: Final = {
    endpoint: Counter(name, f"Calls of {name}.") for endpoint, name in METHOD_NAMES.items()
}

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

BUILD_INFO: Final = Gauge(
    "content_moderator_build_info",
    "Always 1; the labels tell what runs.",
    ("version", "python"),
    multiprocess_mode="livemax",
)
HTTP_REQUESTS: Final = Counter(
    "content_moderator_http_requests",
    "Requests answered, by endpoint, method and class of status.",
    ("endpoint", "method", "status"),
)
HTTP_REQUEST_SECONDS: Final = Histogram(
    "content_moderator_http_request_duration_seconds",
    "Time from the request's headers to the answer, in seconds.",
    ("endpoint",),
    buckets=_SECONDS,
)
HTTP_REQUESTS_IN_PROGRESS: Final = Gauge(
    "content_moderator_http_requests_in_progress",
    "Requests being answered.",
    multiprocess_mode="livesum",
)
ERRORS: Final = Counter("content_moderator_errors", "Errors answered, by stable code.", ("code",))
DECISIONS: Final = Counter(
    "content_moderator_decisions",
    "Texts judged, by the classifier that scored them and the decision.",
    ("classifier", "decision"),
)
REASONS: Final = Counter(
    "content_moderator_reasons",
    "Rules met, by classifier, label and action.",
    ("classifier", "label", "action"),
)
LANGUAGES: Final = Counter(
    "content_moderator_texts_by_language",
    "Texts judged, by language (ISO 639, or other) and whether the classifier judges it.",
    ("language", "judged"),
)
SECOND_OPINIONS: Final = Counter(
    "content_moderator_second_opinions", "Texts about which the embedded model's sentence encoder was asked."
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
"""Languages that are counted by themselves."""

CLASSIFIER_CALLS: Final = Counter(
    "content_moderator_classifier_calls",
    "Calls to a classifier, by outcome: ok, or the error's code.",
    ("classifier", "outcome"),
)
CLASSIFIER_CALL_SECONDS: Final = Histogram(
    "content_moderator_classifier_call_duration_seconds",
    "Time that a call to a classifier took, in seconds.",
    ("classifier",),
    buckets=_SECONDS,
)

RETRIES: Final = Counter(
    "content_moderator_classifier_retries",
    "Calls to the classifier that were made again, by what had failed.",
    ("reason",),
)
RETRY_BUDGET_EXHAUSTED: Final = Counter(
    "content_moderator_classifier_retry_budget_exhausted",
    "Failed calls that were not made again because too many were.",
)
BREAKER_STATE: Final = Gauge(
    "content_moderator_classifier_breaker_state",
    "Workers whose circuit breaker is in this state.",
    ("state",),
    multiprocess_mode="livesum",
)
BREAKER_TRANSITIONS: Final = Counter(
    "content_moderator_classifier_breaker_transitions",
    "Changes of a circuit breaker, by the state that it came to.",
    ("state",),
)
BATCH_TEXTS: Final = Histogram(
    "content_moderator_classifier_batch_texts",
    "Texts that left in one call.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
BATCHES_SPLIT: Final = Counter(
    "content_moderator_classifier_batches_split",
    "Batches that failed as a whole and were halved, by the error's code.",
    ("reason",),
)
QUEUE_SECONDS: Final = Histogram(
    "content_moderator_classifier_queue_duration_seconds",
    "Time from the arrival of each text until its call began, in seconds.",
    buckets=_SECONDS,
)
CALLS_IN_FLIGHT: Final = Gauge(
    "content_moderator_classifier_calls_in_flight",
    "Batches under way, retries and pauses included.",
    multiprocess_mode="livesum",
)
CALLS_SAVED: Final = Counter(
    "content_moderator_classifier_calls_saved",
    "Calls that were not made: the text was under way already (shared), or left with others (batched).",
    ("reason",),
)
CHUNKED: Final = Counter(
    "content_moderator_classifier_divided_texts",
    "Texts that were longer than the model reads at once, and were scored in parts.",
)
DEOBFUSCATED: Final = Counter(
    "content_moderator_classifier_disguised_texts",
    "Texts with disguised words, which were scored as they are and as a person reads them.",
)
SHED: Final = Counter(
    "content_moderator_requests_shed", "Calls refused because too many texts waited: 503 overloaded."
)
DEGRADED: Final = Counter(
    "content_moderator_degraded",
    "Texts that the stand-in answered, by the code of what had failed.",
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
    "Texts looked up in the cache, by layer and result.",
    ("layer", "result"),
)
CACHE_LOOKUP_SECONDS: Final = Histogram(
    "content_moderator_cache_lookup_duration_seconds",
    "Time of a look-up, in seconds; the guard's included.",
    ("layer",),
    buckets=(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5),
)
CACHE_ENTRIES: Final = Gauge(
    "content_moderator_cache_entries", "Answers in the caches of the workers.", multiprocess_mode="livesum"
)
CACHE_BYTES: Final = Gauge(
    "content_moderator_cache_bytes",
    "Bytes of the cached answers, estimated.",
    multiprocess_mode="livesum",
)
CACHE_EVICTIONS: Final = Counter(
    "content_moderator_cache_evictions",
    "Answers forgotten, because there were too many entries or bytes, or they were too old or replaced.",
    ("reason",),
)
GUARD_REFUSALS: Final = Counter(
    "content_moderator_cache_guard_refusals",
    "Similar texts whose answer was not used, by what the guard found.",
    ("reason",),
)
CACHE_SAMPLES: Final = Counter(
    "content_moderator_cache_samples",
    "Answers from a similar text that were checked with the classifier, by what came of it.",
    ("result",),
)
SHARED_FAILURES: Final = Counter(
    "content_moderator_cache_shared_failures",
    "Exchanges with the shared cache that failed, and values there that could not be used.",
    ("reason",),
)

KEY_SET_FETCHES: Final = Counter(
    "content_moderator_key_set_fetches",
    "Fetches of the identity provider's keys, by what came of them.",
    ("result",),
)
LOG_FAILURES: Final = Counter(
    "content_moderator_log_failures",
    "Lines of the log that could not be written, or were dropped because too many waited.",
)
AUDIT_FAILURES: Final = Counter(
    "content_moderator_audit_failures", "Decisions that could not be written to the audit log."
)
LIMIT_STORAGE_FAILURES: Final = Counter(
    "content_moderator_rate_limit_storage_failures",
    "Exchanges with the server that rate limits are counted on that failed.",
)

HTTP_ERROR_CODES: Final = ("not_found", "method_not_allowed", "bad_request", "internal_error")
"""Codes of errors that are not of our own tree."""


RETRYABLE_CODES: Final = (
    *(error.code for error in answerable_errors(ClassifierError) if getattr(error, "retryable", False)),
    DeadlineExceededError.code,
)


def codes(root: type[AnswerableError]) -> list[str]:
    """List the stable codes of the errors below *root*."""
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
"""Every value that the one label of these metrics can have."""


def initialise(classifier: str) -> None:
    """Set every combination of labels to 0, so that a rate exists before the first event."""
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
    """Return the label under which a language is counted, one of a closed set."""
    return code if code in COUNTED_LANGUAGES else "other"


def _tell_loss(error: OSError) -> None:
    _log.error("metrics_not_written", reason=error.strerror)


REGISTRY.register(Reloads())


def exposition(accept: str) -> tuple[bytes, str]:
    """
    Write all metrics for a scrape.

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
