"""Classifiers, which turn texts into scores, and their wrappers. `pipeline` combines them."""
