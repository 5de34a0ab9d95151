"""What the views need, made once in `create_app` and kept in the application's extensions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from flask import Flask, current_app

from content_moderator.classifiers.probed import Readiness
from content_moderator.core.moderator import Moderator
from content_moderator.settings import Settings

_KEY: Final = "content_moderator"


@dataclass(frozen=True, slots=True)
class State:
    """
    What was made once for all requests.

    Args:
        settings: What was configured.
        moderator: Judges texts, from memory if it can.
        fresh: The same for callers who want no remembered answer.
        unremembered: The same for callers whose texts must leave no trace.
        readiness: Tells whether the classifier can answer.
    """

    settings: Settings
    moderator: Moderator
    fresh: Moderator
    unremembered: Moderator
    readiness: Callable[[], Readiness]


def attach(app: Flask, state: State) -> None:
    """Keep *state* for the views of *app*."""
    app.extensions[_KEY] = state


def current_state() -> State:
    """Give the state of the application that answers the current request."""
    return cast(State, current_app.extensions[_KEY])
