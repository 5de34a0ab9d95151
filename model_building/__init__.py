"""Builds and evaluates the embedded model from public data; not shipped with the service."""
