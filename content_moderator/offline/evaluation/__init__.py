"""Labelled rows, and how well a classifier does on them."""
