"""What should happen to a text."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What should happen to a text, mildest first. A new action is declared here and in `policy.Rule`."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """Return the place in the order, 0 for the mildest."""
        return _SEVERITY[self]


_SEVERITY: Final = {action: severity for severity, action in enumerate(Action)}

CONSEQUENCES: Final = tuple(action for action in Action if action is not Action.ALLOW)
"""The actions that a rule can have, mildest first."""


def severest(actions: Iterable[Action]) -> Action:
    """Return the severest of some actions, and ALLOW of none."""
    return max(actions, key=_SEVERITY.__getitem__, default=Action.ALLOW)
