"""Who may ask: API keys, and what they allow."""
