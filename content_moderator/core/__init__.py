"""The pure middle: labels, texts, classifications, policies and verdicts. Imports nothing but errors."""
