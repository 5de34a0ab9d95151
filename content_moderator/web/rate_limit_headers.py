"""The headers with the remaining quota of the caller's rate limits."""

from collections.abc import Sequence
from typing import Final

from content_moderator.access.rate_limits import LimitStatus

RATE_LIMIT_HEADERS: Final = (
    "RateLimit",
    "RateLimit-Policy",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
"""The names of all rate-limit headers."""


def rate_limit_headers(limit_statuses: Sequence[LimitStatus]) -> Sequence[tuple[str, str]]:
    """
    Return the rate-limit headers: all limits by the IETF draft, the tightest one in OpenAI's format.

    Source:
        draft-ietf-httpapi-ratelimit-headers-10; https://platform.openai.com/docs/guides/rate-limits
    """
    if not limit_statuses:
        return ()
    tightest = min(limit_statuses, key=lambda each: each.remaining / each.quota)
    values = (
        ", ".join(f'"{each.name}";r={each.remaining};t={each.reset_seconds}' for each in limit_statuses),
        ", ".join(f'"{each.name}";q={each.quota};w={each.window_seconds}' for each in limit_statuses),
        str(tightest.quota),
        str(tightest.remaining),
        f"{tightest.reset_seconds}s",
    )
    return tuple(zip(RATE_LIMIT_HEADERS, values, strict=True))
