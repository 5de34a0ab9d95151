"""Health and metrics for operators."""

from flask import Response, request
from marshmallow import Schema, fields

from content_moderator.observability import metrics
from content_moderator.web.blueprint import StrictBlueprint
from content_moderator.web.state import current_state

blueprint = StrictBlueprint("operations", __name__, description="Operate the service")


class StatusSchema(Schema):
    """The state of the service."""

    status = fields.String(required=True)
    reason = fields.String(metadata={"description": "The code of the error, if the state has one."})


@blueprint.route("/healthcheck")
@blueprint.doc(operationId="healthcheck", security=[])
@blueprint.response(200, StatusSchema)
def healthcheck() -> dict[str, str]:
    """Tell that the process answers, as the service that this one replaces did."""
    return {"status": "ok"}


@blueprint.route("/livez")
@blueprint.doc(operationId="livez", security=[])
@blueprint.response(200, StatusSchema)
def livez() -> dict[str, str]:
    """Tell that the process answers; restart it if it does not."""
    return {"status": "ok"}


@blueprint.route("/readyz")
@blueprint.doc(operationId="readyz", security=[])
@blueprint.response(200, StatusSchema)
@blueprint.alt_response(503, schema=StatusSchema, description="No classifier can answer; reason says why.")
def readyz() -> tuple[dict[str, str], int]:
    """Return whether a classifier can answer; send no traffic while it cannot."""
    readiness = current_state().readiness()
    body: dict[str, str] = {"status": readiness.state}
    if readiness.reason is not None:
        body["reason"] = readiness.reason
    return body, 200 if readiness.ready else 503


@blueprint.route("/metrics")
@blueprint.doc(operationId="metrics")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def scrape() -> Response:
    """Return the metrics of all workers in Prometheus' text format."""
    body, content_type = metrics.exposition(request.headers.get("Accept", ""))
    return Response(body, content_type=content_type)
