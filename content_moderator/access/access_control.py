"""Who comes in, and how much each may take: asked once for each request, whoever asks first."""

import hashlib
import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Literal

from limits import RateLimitItem

from content_moderator.access.api_key import Scope
from content_moderator.access.api_keys import Caller
from content_moderator.access.authenticator import Gate
from content_moderator.access.rate_limits import Allowance, Limiter
from content_moderator.domain.errors import AnswerableError, RateLimitedError

LIMITED: Final[Scope] = "classify"
"""What is limited: operators and their scrapers are not."""

By = Literal["tenant", "key", "address"]

_KEY: Final = "content_moderator.admission"
_NETWORK_BITS: Final = 64
_WITH_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([^:]+):[0-9]+")


@dataclass(slots=True)
class Admission:
    """
    A request that may go on, or may not.

    Args:
        caller: Who asks; None where nobody needs a key.
        who: On whose account it is.
        limits: What that account may take.
        allowances: What is left of it.
        refusal: Why the request may not go on.
    """

    caller: Caller | None = None
    who: str = ""
    limits: Sequence[RateLimitItem] = ()
    allowances: Sequence[Allowance] = field(default_factory=list)
    refusal: AnswerableError | None = None


class Entrance:
    """
    Lets requests in.

    Args:
        gate: Knows callers.
        limiter: Counts what they take.
        limits_of: What a tenant may take; None asks for whoever is none.
        by: Whose account it is; whoever shows no key is known by the address.
    """

    def __init__(
        self,
        gate: Gate,
        limiter: Limiter,
        limits_of: Callable[[str | None], Sequence[RateLimitItem]],
        *,
        by: By,
    ) -> None:
        self._gate = gate
        self._limiter = limiter
        self._limits_of = limits_of
        self._by = by

    def admit(self, environ: MutableMapping[str, Any], scope: Scope) -> Admission:
        """
        Admit a request; asked again about the same one, say the same again.

        Args:
            environ: The WSGI environment.
            scope: What the caller wants to do.
        Raises:
            AnswerableError: It may not go on: who asks is not known, may not, or has taken too much.
        """
        admission: Admission | None = environ.get(_KEY)
        if admission is None:
            admission = environ[_KEY] = Admission()
            try:
                self._admit(admission, environ, scope)
            except AnswerableError as error:
                admission.refusal = error
        if admission.refusal is not None:
            raise admission.refusal
        return admission

    def charge(self, environ: MutableMapping[str, Any], texts: int, parts: int) -> None:
        """
        Take more for a request that is admitted, whose size was not known before: one was taken already.

        Args:
            environ: The WSGI environment.
            texts: That it has.
            parts: That they are scored in, at least as many: taken as far as any limit allows at once.
        Raises:
            RateLimitedError: There is not so much left.
        """
        admission: Admission = environ[_KEY]
        quota = min((limit.amount for limit in admission.limits), default=parts)
        cost = max(texts, min(parts, quota)) - 1
        if cost > 0:
            self._take(admission, cost)

    def _admit(self, admission: Admission, environ: MutableMapping[str, Any], scope: Scope) -> None:
        admission.caller = caller = self._gate.admit(environ, scope)
        if scope == LIMITED and (limits := self._limits_of(caller.tenant if caller else None)):
            admission.limits = limits
            admission.who = self._account(caller, environ)
            self._take(admission, 1)

    def _take(self, admission: Admission, cost: int) -> None:
        try:
            admission.allowances = self._limiter.take(admission.who, admission.limits, cost)
        except RateLimitedError as error:
            admission.allowances = error.allowances
            raise

    def _account(self, caller: Caller | None, environ: MutableMapping[str, Any]) -> str:
        if caller is None or self._by == "address":
            # Nobody's address is to lie on a server in the clear.
            network = network_of(environ.get("REMOTE_ADDR", ""))
            return f"address:{hashlib.blake2b(network.encode(), digest_size=16).hexdigest()}"
        return f"tenant:{caller.tenant}" if self._by == "tenant" else f"key:{caller.key_id}"


def admission_of(environ: MutableMapping[str, Any]) -> Admission | None:
    """Give what was decided about a request; None if nobody has asked."""
    return environ.get(_KEY)


def network_of(address: str) -> str:
    """
    Give what one customer of a provider has: an IPv4 address, or a network of IPv6 addresses.

    Args:
        address: As a proxy tells it; some add the port, which is another for each connection.
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
