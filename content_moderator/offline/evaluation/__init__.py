"""Evaluates classifiers on labelled rows."""
