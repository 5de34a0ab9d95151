"""The WSGI entry point: ``gunicorn wsgi:app``."""

from gunicorn.errors import AppImportError

from content_moderator.app import create_app
from content_moderator.domain.errors import ConfigurationError

try:
    app = create_app()
except ConfigurationError as error:
    # gunicorn prints an AppImportError as one line and stops, instead of restarting workers for ever.
    raise AppImportError(f"configuration: {error}") from error
