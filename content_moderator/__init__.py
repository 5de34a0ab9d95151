"""A text-moderation service: one question, nine scores, one decision."""

__version__ = "0.1.0"
