"""Outbound HTTP: the only way from here to other servers, and hardened against what they may send."""
