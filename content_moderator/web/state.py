"""What the views need, made once in `create_app` and kept in the application's extensions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from flask import Flask, current_app, g, request

from content_moderator.access.access_control import Entrance
from content_moderator.access.api_keys import Caller
from content_moderator.access.tenants import Tenant, Tenants
from content_moderator.cache.answer_cache import Memory
from content_moderator.classifiers.pipeline import Line
from content_moderator.classifiers.wrappers.health import Readiness
from content_moderator.config.settings import Settings
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.policy import Policy
from content_moderator.observability.audit import AuditLog

_KEY: Final = "content_moderator"


@dataclass(frozen=True, slots=True)
class Desk:
    """
    Where the texts of one tenant are judged.

    Args:
        policy: Decides.
        moderator: Judges texts, from memory if it can.
        fresh: The same for callers who want no remembered answer.
        unremembered: The same for callers whose texts must leave no trace.
        memory: What is remembered; None if nothing is.
    """

    policy: Policy
    moderator: Moderator
    fresh: Moderator
    unremembered: Moderator
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class Desks:
    """
    The desks of all tenants.

    Args:
        default: Of those who have none of their own.
        named: Of those who have.
    """

    default: Desk
    named: Mapping[str, Desk]

    def of(self, caller: Caller | None) -> Desk:
        """Give the desk of who asks."""
        return self.named.get(caller.tenant, self.default) if caller else self.default


@dataclass(frozen=True, slots=True)
class State:
    """
    What was made once for all requests.

    Args:
        settings: What was configured.
        tenants: What is special for some of those who ask.
        desks: Where texts are judged.
        entrance: Lets requests in.
        readiness: Tells whether the classifier can answer.
        parts: Tells in how many parts a text is scored.
        audit: Keeps a record of every decision; None if none is kept.
    """

    settings: Settings
    tenants: Tenants
    desks: Desks
    entrance: Entrance
    readiness: Callable[[], Readiness]
    parts: Callable[[str], int]
    audit: AuditLog | None = None

    @property
    def desk(self) -> Desk:
        """The desk of who asks in the current request."""
        return self.desks.of(g.get("caller"))

    def charge(self, texts: Sequence[str], *, others: int = 0) -> None:
        """
        Count a request as so many texts, a long one as the parts that it is scored in; on its way in it was
        counted as one. Parts beyond what a limit allows at once are not counted: no text fails for its size.

        Args:
            texts: Validated.
            others: More texts, which are not scored.
        Raises:
            RateLimitedError: Its limit is reached.
        """
        parts = sum(self.parts(text) for text in texts)
        self.entrance.charge(request.environ, len(texts) + others, parts + others)


def build_desks(tenants: Tenants, line: Line, *, deadline_seconds: float) -> Desks:
    """Make a desk for each tenant, who shares the memory with all others unless it is to be separate."""

    def desk(tenant: Tenant, line: Line) -> Desk:
        policy, explainer = tenant.policy, line.explainer
        return Desk(
            policy,
            moderator=Moderator(line.classifier, policy, explainer, deadline_seconds),
            fresh=Moderator(line.fresh, policy, explainer, deadline_seconds),
            unremembered=Moderator(line.unremembered, policy, explainer, deadline_seconds),
            memory=line.memory,
        )

    named = {
        name: desk(tenant, line.separate(name) if tenant.separate_cache else line)
        for name, tenant in tenants.named.items()
    }
    return Desks(desk(tenants.default, line), named)


def attach(app: Flask, state: State) -> None:
    """Keep *state* for the views of *app*."""
    app.extensions[_KEY] = state


def current_state() -> State:
    """Give the state of the application that answers the current request."""
    return cast(State, current_app.extensions[_KEY])
