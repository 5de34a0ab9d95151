"""The weights of the embedded model; `model_building` builds them."""
