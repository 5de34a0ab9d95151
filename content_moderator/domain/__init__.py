"""What moderation is: labels, scores, policies and verdicts. Knows no HTTP, files or network."""
