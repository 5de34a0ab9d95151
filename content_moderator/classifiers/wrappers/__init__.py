"""Classifiers that hold another classifier and add one thing to it each."""
