"""The client for remote classifiers: wire formats, retries and the circuit breaker."""
