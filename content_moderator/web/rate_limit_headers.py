"""Tells callers what is left of their limits, in the headers that clients read."""

from collections.abc import Sequence
from typing import Final

from content_moderator.access.rate_limits import Allowance

ALLOWANCE_HEADERS: Final = (
    "RateLimit",
    "RateLimit-Policy",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
"""The names of all of them."""


def allowance_headers(allowances: Sequence[Allowance]) -> dict[str, str]:
    """
    Write what is left: every limit by the standard to be, the tightest as OpenAI's clients know it.

    Source:
        draft-ietf-httpapi-ratelimit-headers-10; https://platform.openai.com/docs/guides/rate-limits
    """
    if not allowances:
        return {}
    tightest = min(allowances, key=lambda each: each.remaining / each.quota)
    values = (
        ", ".join(f'"{each.name}";r={each.remaining};t={each.reset_seconds}' for each in allowances),
        ", ".join(f'"{each.name}";q={each.quota};w={each.window_seconds}' for each in allowances),
        str(tightest.quota),
        str(tightest.remaining),
        f"{tightest.reset_seconds}s",
    )
    return dict(zip(ALLOWANCE_HEADERS, values, strict=True))
