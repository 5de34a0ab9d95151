"""Wrappers: classifiers that contain another classifier and add one behaviour."""
