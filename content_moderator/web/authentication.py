"""Who asks, and whether they may: every route but a short list needs a key, if keys are asked for at all."""

from collections.abc import Mapping
from typing import Final

from flask import Flask, g, request

from content_moderator.access.access_control import Entrance
from content_moderator.access.api_key import Scope

PUBLIC: Final = frozenset(
    {
        "api-docs.openapi_json",
        "comments.discovery",
        "operations.healthcheck",
        "operations.livez",
        "operations.readyz",
        "pages.docs",
        "pages.index",
        "pages.static",
    }
)
"""The endpoints that anybody may ask: they judge nothing and tell nothing about anybody."""

SCOPES: Final[Mapping[str, Scope]] = {"operations.scrape": "metrics", "policies.all_policies": "admin"}
"""What an endpoint needs, where it is not ``classify``."""


def install_authentication(app: Flask, entrance: Entrance) -> None:
    """Ask every request of *app* for a key, unless its endpoint is public."""

    def authenticate() -> None:
        # What is not there, and what asks for the methods, is answered to everybody.
        if request.endpoint is None or request.endpoint in PUBLIC or request.method == "OPTIONS":
            return
        g.caller = entrance.admit(request.environ, SCOPES.get(request.endpoint, "classify")).caller

    app.before_request(authenticate)
