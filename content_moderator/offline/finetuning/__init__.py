"""Fits the embedded model to a user's own rows: `content-moderator train`."""
