"""The schemas of requests: a text, and a batch of texts."""

from collections.abc import Sequence
from typing import Final

from marshmallow import Schema, ValidationError, fields

from content_moderator.config.fields import StrictBoolean
from content_moderator.web.openapi import TEXT, TEXTS
from content_moderator.web.state import current_state

BLANK: Final = "Must not be empty or only white space."


def check_text(text: str) -> None:
    """
    Check that a text can be judged. The message names the limit, never the text.

    Raises:
        ValidationError: The text is blank or too long.
    """
    limit = current_state().settings.http.max_text_chars
    if len(text) > limit:
        raise ValidationError(f"Must have at most {limit} characters; this has {len(text)}.")
    if not text.strip():
        raise ValidationError(BLANK)


def check_foreign_text(text: str, *, may_be_empty: bool = False) -> None:
    """
    Check a text of a compatible API. Some clients treat a refusal as "could not be checked" and let the text
    pass. So white space is judged as well, and long texts unless ``http.long_texts`` is "refuse".

    Raises:
        ValidationError: The text is empty or too long.
    """
    http = current_state().settings.http
    if not text and not may_be_empty:
        raise ValidationError("Must not be empty.")
    if http.long_texts == "refuse" and len(text) > http.max_text_chars:
        raise ValidationError(f"Must have at most {http.max_text_chars} characters; this has {len(text)}.")


class TextSchema(Schema):
    """A text to classify: exactly one of text and message."""

    error_messages = {  # noqa: RUF012
        "type": 'Must be an object, as in {"text": "…"}.',
        "unknown": "Unknown field; there are text, spans and explain. /classify/batch takes texts.",
    }
    text = fields.String(
        validate=check_text,
        metadata={"description": "The text.", "example": "Thank you, that was kind of you.", **TEXT},
    )
    message = fields.String(
        validate=check_text,
        metadata={
            "description": "Another name for text, from the service that this one replaces.",
            "deprecated": True,
            **TEXT,
        },
    )
    spans = StrictBoolean(metadata={"description": "Also judge each sentence by itself."})
    explain = StrictBoolean(metadata={"description": "Also return the weight of each word."})


def check_count(texts: Sequence[object]) -> None:
    """
    Check the size of a batch.

    Raises:
        ValidationError: The batch is empty or too large.
    """
    limit = current_state().settings.http.max_batch_texts
    if not texts:
        raise ValidationError("Must have at least one text.")
    if len(texts) > limit:
        raise ValidationError(f"Must have at most {limit} texts; this has {len(texts)}.")


class BatchSchema(Schema):
    """Texts to classify in one go."""

    error_messages = {  # noqa: RUF012
        "type": 'Must be an object, as in {"texts": ["…"]}.',
        "unknown": "Unknown field; there is texts. /classify takes spans and explain.",
    }
    texts = fields.List(
        # Texts are checked one by one, and an invalid text gets an error in its position.
        fields.Raw(
            allow_none=True,
            metadata={"description": "A text. Anything else gets an error in its position."},
        ),
        required=True,
        validate=check_count,
        metadata={"example": ["Thank you, that was kind of you.", "See you at the station."], **TEXTS},
    )
