"""What all routes do with verdicts: count them, write them to the audit log, name their source in headers."""

from collections.abc import Sequence
from typing import Final

from content_moderator.domain.verdict import DetectedLanguage, Verdict
from content_moderator.observability.decision_metrics import count_verdict
from content_moderator.web.request_record import current_record
from content_moderator.web.state import current_caller, current_state

MAX_LANGUAGES: Final = 16
"""The largest number of languages in the header ``X-Moderation-Language``."""


def record_verdicts(texts: Sequence[str], verdicts: Sequence[Verdict]) -> None:
    """Count verdicts and write them to the audit log; the log line of the request has a single one."""
    for text, verdict in zip(texts, verdicts, strict=True):
        count_verdict(verdict)
        write_audit(text, verdict)
    if len(verdicts) == 1:
        current = current_record()
        current.decision = verdicts[0].decision.value
        current.cache = verdicts[0].classification.cache


def write_audit(text: str, verdict: Verdict) -> None:
    """Write a verdict to the audit log, if there is one."""
    if audit := current_state().audit:
        current = current_record()
        audit.write(
            # If nothing about the text may be stored, its hash is left out as well.
            None if current.leaves_no_trace else text,
            verdict,
            request_id=current.request_id,
            endpoint=current.endpoint or "",
            caller=current_caller(),
        )


def source_headers(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return headers with classifier, policy and languages, for answers whose body has no field for them."""
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


def _named(language: DetectedLanguage) -> str:
    return language.code if language.judged else f"{language.code};judged=false"
