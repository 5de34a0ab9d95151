"""content-moderator serve."""

import os
import sys
import sysconfig
from pathlib import Path

import click

from content_moderator.config.loader import DEFAULTS


@click.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", envvar="PORT", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Serve the API under gunicorn until stopped."""
    for name in ("WEB_CONCURRENCY", "THREADS"):
        # gunicorn uses the first of these before it reads any file.
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdigit() and int(value[:9])):
            raise click.UsageError(f"{name}: must be a whole number from 1 on, not {value!r}")
    environ = os.environ | {"HOST": host, "PORT": str(port)}
    # The script instead of "-m gunicorn": a binary upgrade (SIGUSR2) runs the same command again.
    gunicorn = Path(sysconfig.get_path("scripts")) / "gunicorn"
    command = [
        sys.executable,
        str(gunicorn),
        "-c",
        str(DEFAULTS / "gunicorn.conf.py"),
        "content_moderator.app:create_app()",
    ]
    sys.stdout.flush()
    os.execve(sys.executable, command, environ)  # noqa: S606  (replaces this process; there is no shell)
