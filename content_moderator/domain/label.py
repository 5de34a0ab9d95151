"""The nine labels of KoalaAI/Text-Moderation, and their categories."""

from enum import StrEnum
from typing import Final


class Label(StrEnum):
    """
    The labels, with the codes of the model itself.

    Source:
        ``id2label`` of https://huggingface.co/KoalaAI/Text-Moderation, whose categories
        are those of Markov et al., "A Holistic Approach to Undesired Content Detection" (2022).
    """

    OK = "OK"
    S = "S"
    H = "H"
    V = "V"
    HR = "HR"
    SH = "SH"
    S3 = "S3"
    H2 = "H2"
    V2 = "V2"

    @property
    def category(self) -> str:
        """The usual name of the label, as in OpenAI's moderation API."""
        return _CATEGORIES[self]


_CATEGORIES: Final = {
    Label.OK: "ok",
    Label.S: "sexual",
    Label.H: "hate",
    Label.V: "violence",
    Label.HR: "harassment",
    Label.SH: "self-harm",
    Label.S3: "sexual/minors",
    Label.H2: "hate/threatening",
    Label.V2: "violence/graphic",
}

HARMS: Final = tuple(label for label in Label if label is not Label.OK)
"""The eight labels that name a harm, in the order of `Label`."""
