"""The actions that a policy can decide."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What to do with a text, mildest first. To add an action, declare it here and in `policy.Rule`."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """Return the rank of the action, 0 for the mildest."""
        return _SEVERITY[self]


_SEVERITY: Final = {action: severity for severity, action in enumerate(Action)}

CONSEQUENCES: Final = tuple(action for action in Action if action is not Action.ALLOW)
"""All actions that a rule can lead to, mildest first."""


def severest(actions: Iterable[Action]) -> Action:
    """Return the severest of some actions; ALLOW if there are none."""
    return max(actions, key=_SEVERITY.__getitem__, default=Action.ALLOW)
