"""Builds the WSGI application from all parts."""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter

from content_moderator.access.access_control import AccessControl
from content_moderator.access.authenticator import build_authenticator
from content_moderator.access.rate_limits import build_rate_limiter
from content_moderator.access.tenants import load_tenants
from content_moderator.classifiers.embedded.classifier import EMBEDDED
from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import Settings
from content_moderator.domain.classification import Classifier
from content_moderator.observability import metrics
from content_moderator.observability.audit import build_audit
from content_moderator.observability.logs import configure_logging
from content_moderator.web.api import batch, classify, operations, policies
from content_moderator.web.authentication import Authentication, install_refusals
from content_moderator.web.blueprint import install_api
from content_moderator.web.compat import openai, perspective
from content_moderator.web.error_handlers import install_error_handlers
from content_moderator.web.fast_path import FastPath
from content_moderator.web.pages import views as pages
from content_moderator.web.request_context import Application, RequestContext, StartResponse
from content_moderator.web.state import Moderators, State, attach
from content_moderator.web.transport import TrustedProxies, install_transport


class _NoSessions(SessionInterface):
    """No sessions: callers are identified by keys, never by cookies."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """Return an empty session."""
        return _NO_SESSION

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing."""


_NO_SESSION: Final = NullSession()


class _App(Flask):
    """The Flask application; its views are plain functions, and there are no sessions."""

    session_interface = _NoSessions()

    def wsgi_app(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and count it as in progress. The fast path is not counted: it takes no time."""
        with metrics.HTTP_REQUESTS_IN_PROGRESS.track_inprogress():
            return super().wsgi_app(environ, start_response)

    def create_url_adapter(self, request: Request | None) -> MapAdapter:
        """Return the URL adapter of a request; Flask also calls this for a context without a request."""
        if request is None:
            return self._no_request
        environ = request.environ
        return MapAdapter(
            self.url_map,
            request.host,
            environ.get("SCRIPT_NAME", ""),
            "",
            request.scheme,
            environ["PATH_INFO"],
            request.method,
            environ.get("QUERY_STRING", ""),
        )

    @cached_property
    def _no_request(self) -> MapAdapter:
        return self.url_map.bind("")

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*: no view is asynchronous, and Flask would check that for each request."""
        return func


def create_app(settings: Settings | None = None, *, classifier: Classifier | None = None) -> Flask:
    """
    Build the WSGI application.

    Args:
        settings: The settings; read from the files and the environment if None.
        classifier: Scores the texts; built from the settings if None.
    Raises:
        ConfigurationError: The settings cannot be used.
    """
    settings = load_settings() if settings is None else settings
    configure_logging(settings.logging)
    tenants = load_tenants(settings)
    pipeline = build_pipeline(settings, classifier, separate_caches=tenants.with_separate_cache)
    for name in pipeline.names:
        metrics.initialise(name)
    moderators = Moderators(tenants, pipeline)
    access = AccessControl(
        build_authenticator(settings.auth),
        build_rate_limiter(settings.limits, settings.limits_password),
        lambda name: tenants.of(name).limits,
        by=settings.limits.by,
    )
    audit = build_audit(settings.audit, settings.audit_secret)

    app = _App("content_moderator", static_folder=None, template_folder="web/pages/templates")
    attach(
        app, State(settings, tenants, moderators, access, pipeline.health.readiness, pipeline.parts, audit)
    )
    install_api(
        app,
        settings,
        *(each.blueprint for each in (classify, batch, openai, perspective, policies, operations)),
    )
    app.register_blueprint(pages.blueprint)
    install_error_handlers(app)
    install_transport(app, settings.http)
    install_refusals(app)

    # In the order in which a request passes them.
    middlewares: list[Callable[[Application], Application]] = [
        partial(TrustedProxies, hops=settings.http.trusted_proxies),
        partial(RequestContext, url_map=app.url_map, log_requests=settings.logging.requests),
        partial(Authentication, access=access),
    ]
    if settings.http.fast_path and pipeline.caches is not None:
        middlewares.append(
            partial(
                FastPath,
                moderators=moderators,
                caches=pipeline.caches,
                max_text_chars=settings.http.max_text_chars,
                audit=audit,
            )
        )
    for middleware in reversed(middlewares):
        app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign,assignment]
    if settings.readiness.probe_at_start and settings.classifier.name != EMBEDDED:
        pipeline.health.start_probe()
    return app
