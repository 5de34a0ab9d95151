"""The one place where the web parts meet."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from content_moderator.access.access_control import Entrance
from content_moderator.access.authenticator import build_gate
from content_moderator.access.rate_limits import build_limiter
from content_moderator.access.tenants import load_tenants
from content_moderator.classifiers.embedded import classifier as embedded
from content_moderator.classifiers.pipeline import build_line
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import Settings
from content_moderator.domain.classification import Classifier
from content_moderator.observability import metrics
from content_moderator.observability.audit import build_audit
from content_moderator.observability.logs import configure_logging
from content_moderator.web.api import batch, classify, operations, policies
from content_moderator.web.authentication import install_authentication
from content_moderator.web.blueprint import install_api
from content_moderator.web.compat import openai as moderations
from content_moderator.web.compat import perspective as comments
from content_moderator.web.error_handlers import install_error_handlers
from content_moderator.web.fast_path import Shortcut
from content_moderator.web.pages import views as pages
from content_moderator.web.request_context import install_observation
from content_moderator.web.security_headers import install_headers
from content_moderator.web.state import State, attach, build_desks
from content_moderator.web.transport import install_transport, trusting


class _App(Flask):
    """The application; its views are plain functions."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Flask asks of each function at each request whether it is asynchronous: none is."""
        return func


def create_app(settings: Settings | None = None, *, classifier: Classifier | None = None) -> Flask:
    """
    Make the WSGI application.

    Args:
        settings: What was configured; read from the files and the environment if None.
        classifier: Scores the texts; built from the settings if None.
    Raises:
        ConfigurationError: The settings cannot be used.
    """
    settings = load_settings() if settings is None else settings
    configure_logging(settings.logging)
    tenants = load_tenants(settings)
    entrance = Entrance(
        build_gate(settings.auth),
        build_limiter(settings.limits, settings.limits_password),
        lambda name: tenants.of(name).limits,
        by=settings.limits.by,
    )
    line = build_line(settings, classifier)
    for name in line.names:
        metrics.initialise(name)

    app = _App("content_moderator", static_folder=None, template_folder="web/pages/templates")
    desks = build_desks(tenants, line, deadline_seconds=settings.classifier.deadline_seconds)
    audit = build_audit(settings.audit, settings.audit_secret)
    attach(app, State(settings, tenants, desks, entrance, line.probed.readiness, line.parts, audit))
    install_api(
        app,
        settings,
        *(each.blueprint for each in (classify, batch, moderations, comments, policies, operations)),
    )
    app.register_blueprint(pages.blueprint)
    install_error_handlers(app)
    install_headers(app)
    install_transport(app, settings.http)
    install_observation(app)
    install_authentication(app, entrance)
    # Every decision is to be recorded, which is done in the views.
    if line.memory is not None and audit is None:
        app.wsgi_app = Shortcut(  # type: ignore[method-assign]
            app.wsgi_app,
            desks=desks,
            entrance=entrance,
            max_text_chars=settings.http.max_text_chars,
            log_requests=settings.logging.requests,
        )
    if settings.http.trusted_proxies:
        # Outermost, for whoever counts addresses has to see the caller's.
        app.wsgi_app = trusting(app.wsgi_app, settings.http.trusted_proxies)  # type: ignore[assignment,method-assign]
    if settings.readiness.probe_at_start and settings.classifier.name != embedded.NAME:
        line.probed.start_probe()
    return app
