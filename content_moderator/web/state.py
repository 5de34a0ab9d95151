"""The state that views need, which `create_app` builds once and stores in the application's extensions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from flask import Flask, current_app, request

from content_moderator.access.access_control import AccessControl
from content_moderator.access.tenants import Tenants
from content_moderator.classifiers.pipeline import ClassifierPipeline
from content_moderator.classifiers.wrappers.health import Readiness
from content_moderator.config.settings import Settings
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.caller import Caller
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.trace_context import TraceContext
from content_moderator.observability.audit import AuditLog
from content_moderator.web.request_record import current_record

_KEY: Final = "content_moderator"


class Moderators:
    """
    The moderators of all tenants, which differ in their policies.

    Args:
        tenants: The tenants, and their policies.
        pipeline: Scores the texts of all tenants.
    """

    def __init__(self, tenants: Tenants, pipeline: ClassifierPipeline) -> None:
        def build(name: str | None) -> Moderator:
            return Moderator(pipeline.classifier, tenants.of(name).policy, pipeline.explainer)

        self.default = build(None)
        self._named: Mapping[str, Moderator] = {name: build(name) for name in tenants.named}

    def of(self, caller: Caller | None) -> Moderator:
        """Return the moderator of a caller's tenant."""
        return self._named.get(caller.tenant, self.default) if caller else self.default


@dataclass(frozen=True, slots=True)
class State:
    """
    The state that all requests share.

    Args:
        settings: The settings of the service.
        tenants: The tenants.
        moderators: The moderators of all tenants.
        access: Decides about requests.
        readiness: Returns whether the classifier can answer.
        parts: Returns the number of parts in which a text is scored.
        audit: Records every decision; None if nothing is recorded.
    """

    settings: Settings
    tenants: Tenants
    moderators: Moderators
    access: AccessControl
    readiness: Callable[[], Readiness]
    parts: Callable[[str], int]
    audit: AuditLog | None = None

    @property
    def moderator(self) -> Moderator:
        """Return the moderator for the caller of the current request."""
        return self.moderators.of(current_caller())

    def call_context(self, *, leave_no_trace: bool = False) -> CallContext:
        """
        Return the context for the calls of the current request; its deadline begins now.

        ``Cache-Control: no-store`` or *leave_no_trace* bypasses the cache; ``no-cache`` refreshes it.
        """
        record = current_record()
        directives = request.environ.get("HTTP_CACHE_CONTROL", "").lower().split(",")
        wishes = {each.partition("=")[0].strip() for each in directives}
        mode = CacheMode.REFRESH if "no-cache" in wishes else CacheMode.USE
        if leave_no_trace or "no-store" in wishes:
            record.leaves_no_trace = True
            mode = CacheMode.BYPASS
        return CallContext(
            Deadline.after(self.settings.classifier.deadline_seconds),
            mode,
            current_caller(),
            TraceContext(record.request_id),
        )

    def charge(self, texts: Sequence[str], *, others: int = 0) -> None:
        """
        Count the texts of the current request, a long one by its parts, for rate limits.

        It was admitted as one text. Parts beyond the quota of a limit are not counted, so that no text is
        refused because of its size.

        Args:
            texts: Validated texts.
            others: The number of further texts, which are not scored.
        Raises:
            RateLimitedError: The remaining quota is too small.
        """
        admission = current_record().admission
        if admission is not None and admission.limits:
            parts = sum(self.parts(text) for text in texts)
            self.access.charge(admission, len(texts) + others, parts + others)


def current_caller() -> Caller | None:
    """Return the caller of the current request; None for anonymous callers."""
    admission = current_record().admission
    return admission.caller if admission is not None else None


def attach(app: Flask, state: State) -> None:
    """Store *state* for the views of *app*."""
    app.extensions[_KEY] = state


def current_state() -> State:
    """Return the state of the current application."""
    return cast(State, current_app.extensions[_KEY])
