"""The weights of the embedded model; `training` builds them."""
