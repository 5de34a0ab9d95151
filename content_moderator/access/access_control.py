"""Authenticates and rate-limits each request, once."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Literal

from limits import RateLimitItem

from content_moderator.access.authenticator import Authenticator
from content_moderator.access.rate_limits import LimitStatus, RateLimiter
from content_moderator.domain.caller import Caller, Scope
from content_moderator.domain.errors import AnswerableError, RateLimitedError

LIMITED: Final[Scope] = "classify"
"""The only scope that is rate-limited; operators and their scrapers are not."""

CountBy = Literal["tenant", "key", "address"]

_NETWORK_BITS: Final = 64
_WITH_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([^:]+):[0-9]+")


@dataclass(slots=True)
class Admission:
    """
    The decision whether a request may be answered.

    Args:
        caller: The caller; None for anonymous callers.
        account: The name under which its texts are counted; empty if they are not limited.
        limits: The limits of that account.
        limit_statuses: The remaining quota of each limit.
        refusal: Why the request must not be answered; None if it may.
    """

    caller: Caller | None = None
    account: str = ""
    limits: Sequence[RateLimitItem] = ()
    limit_statuses: Sequence[LimitStatus] = ()
    refusal: AnswerableError | None = None


class AccessControl:
    """
    Decides whether requests may be answered.

    Args:
        authenticator: Identifies callers.
        limiter: Counts their texts.
        limits_of: Returns a tenant's limits; None stands for anonymous callers.
        by: What to count by: tenant, key or address. Anonymous callers are counted by IP address.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: RateLimiter,
        limits_of: Callable[[str | None], Sequence[RateLimitItem]],
        *,
        by: CountBy,
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._limits_of = limits_of
        self._by = by

    def admit(self, environ: Mapping[str, Any], scope: Scope) -> Admission:
        """
        Authenticate the caller of a request, and count the request as one text.

        Args:
            environ: The WSGI environment.
            scope: What the caller wants to do.
        Returns:
            The Admission; its `refusal` is set if the caller is unknown, lacks the scope, or has reached its
            limit.
        """
        admission = Admission()
        try:
            admission.caller = caller = self._authenticator.authenticate(environ, scope)
            if scope == LIMITED and (limits := self._limits_of(caller.tenant if caller else None)):
                admission.limits = limits
                admission.account = self._account(caller, environ)
                self._take(admission, 1)
        except AnswerableError as error:
            admission.refusal = error
        return admission

    def charge(self, admission: Admission, texts: int, parts: int) -> None:
        """
        Count the other texts of a request: it was admitted as one text, before its body was read.

        Args:
            admission: The admission of the request.
            texts: How many texts it has.
            parts: The number of parts in which they are scored; counted up to the quota of the smallest
                limit.
        Raises:
            RateLimitedError: The remaining quota is too small.
        """
        quota = min((limit.amount for limit in admission.limits), default=parts)
        cost = max(texts, min(parts, quota)) - 1
        if cost > 0:
            self._take(admission, cost)

    def _take(self, admission: Admission, cost: int) -> None:
        try:
            admission.limit_statuses = self._limiter.take(admission.account, admission.limits, cost)
        except RateLimitedError as error:
            admission.limit_statuses = error.limit_statuses
            raise

    def _account(self, caller: Caller | None, environ: Mapping[str, Any]) -> str:
        if caller is None or self._by == "address":
            # IP addresses are personal data: the server stores only a digest.
            network = network_of(environ.get("REMOTE_ADDR", ""))
            return f"address:{hashlib.blake2b(network.encode(), digest_size=16).hexdigest()}"
        return f"tenant:{caller.tenant}" if self._by == "tenant" else f"key:{caller.key_id}"


def network_of(address: str) -> str:
    """
    Return the network that an internet provider gives to one customer: an IPv4 address, or an IPv6 /64.

    Args:
        address: As a proxy sends it. Some proxies add the port, which differs between connections.
    """
    if with_port := _WITH_PORT.fullmatch(address):
        address = with_port[1] or with_port[2]
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        shift = found.max_prefixlen - _NETWORK_BITS
        return str(IPv6Address(int(found) >> shift << shift))
    return str(found)
