"""The model that ships inside the package: no token, no network, no download."""
