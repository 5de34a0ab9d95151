"""Judges the rows of a file; a scan can be interrupted and resumed."""
