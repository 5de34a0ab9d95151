"""Finds the endpoint of a request before Flask does, for metrics and authentication."""

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map


class RouteTable:
    """
    The endpoints of an application by path and method.

    Args:
        url_map: The routes. Nearly all have fixed paths, which are looked up in a dictionary.
    """

    def __init__(self, url_map: Map) -> None:
        self._url_map = url_map
        self._fixed: dict[tuple[str, str], str] = {
            (rule.rule, method): rule.endpoint
            for rule in url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def endpoint_of(self, environ: Mapping[str, Any]) -> str | None:
        """Return the endpoint that Flask will choose; None for an unknown path or method."""
        endpoint = self._fixed.get((environ["PATH_INFO"], environ["REQUEST_METHOD"]))
        if endpoint is not None:
            return endpoint
        try:
            found, _ = self._url_map.bind_to_environ(dict(environ)).match()
        except HTTPException:
            return None
        return str(found)
