"""Our own routes and schemas."""
