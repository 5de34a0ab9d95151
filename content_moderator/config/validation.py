"""Flattens marshmallow's validation messages."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def flatten_messages(
    messages: Any, *, transparent: Collection[str] = ("_schema",)
) -> Iterator[tuple[tuple[str, ...], str]]:
    """
    Walk validation messages that are nested like the data they are about.

    Args:
        messages: Messages of marshmallow: nested mappings with lists of sentences.
        transparent: Keys to leave out, because they are not in the data.
    Yields:
        The path of keys to each message, and the message.
    """
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            prefix = () if key in transparent else (str(key),)
            for keys, message in flatten_messages(below, transparent=transparent):
                yield (*prefix, *keys), message
    elif isinstance(messages, list):
        yield from (((), str(message)) for message in messages)
    else:
        yield (), str(messages)
