"""``python -m content_moderator`` is ``content-moderator``."""

from content_moderator.cli.main import main

main(prog_name="content-moderator")
