"""The command line: content-moderator serve | classify | scan | evaluate | train | keys | config."""

import click

from content_moderator import __version__
from content_moderator.cli.classify import classify
from content_moderator.cli.config import config
from content_moderator.cli.evaluate import evaluate
from content_moderator.cli.keys import keys
from content_moderator.cli.scan import scan
from content_moderator.cli.serve import serve
from content_moderator.cli.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Classify texts and serve the moderation API. See config/app_conf.yml for the settings."""


for command in (serve, classify, scan, evaluate, train, keys, config):
    main.add_command(command)
