"""The commands of content-moderator, one module each."""
