"""Outbound connections: hardened HTTP sessions, and connections to Redis."""
