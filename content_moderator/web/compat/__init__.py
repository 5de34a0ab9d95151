"""The APIs of other services, for their existing clients, each with its own error format."""
