"""The progress of a scan, in a file beside its output, from which a later run continues."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from content_moderator.config.atomic_file import replacing
from content_moderator.domain.errors import ScanError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    The state of a scan at a point in time.

    Args:
        job: What must be the same to resume: the classifier, the format of the rows, the fields.
        digest: Digest of the input up to *offset*.
        offset: Number of input bytes that have been read.
        line: Number of input lines that have been read.
        output_bytes: Length of the output; the rest was written after this checkpoint.
        bad_bytes: Length of the file of bad rows.
        counts: The counts of the summary.
    """

    job: Mapping[str, Any]
    digest: str = ""
    offset: int = 0
    line: int = 0
    output_bytes: int = 0
    bad_bytes: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Replace the file atomically, and flush it to disk."""
        with replacing(path) as fresh:
            fresh.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """
        Read the file.

        Raises:
            ScanError: The file is invalid.
        """
        try:
            checkpoint: Checkpoint = _CheckpointSchema().load(orjson.loads(path.read_bytes()))
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise ScanError(f"{path} cannot be read; --restart starts from the beginning") from error
        return checkpoint


def _bytes() -> fields.Integer:
    return fields.Integer(required=True, strict=True)


class _CheckpointSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    job = fields.Dict(required=True)
    digest = fields.String(required=True)
    offset = _bytes()
    line = _bytes()
    output_bytes = _bytes()
    bad_bytes = _bytes()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Checkpoint:
        return Checkpoint(**data)
