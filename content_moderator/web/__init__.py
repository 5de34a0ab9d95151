"""The HTTP edge: the only folder, with `app`, that imports Flask."""
