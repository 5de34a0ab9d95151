"""The settings: their declarations and the loader for files and environment variables."""
