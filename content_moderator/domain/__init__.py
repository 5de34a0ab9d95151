"""The domain: labels, scores, policies and verdicts. No HTTP, files or network."""
