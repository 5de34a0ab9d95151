"""Authenticates callers and limits their rate."""
