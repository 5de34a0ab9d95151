"""Finetunes the embedded model with a user's own rows: `content-moderator train`."""
