"""The embedded model, which is part of the package."""
