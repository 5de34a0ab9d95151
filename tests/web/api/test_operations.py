"""Health, readiness, metrics and logs."""

import json
import re
import threading
from collections.abc import Callable, Sequence

import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from content_moderator.app import create_app
from content_moderator.classifiers.wrappers.health import Health
from content_moderator.config.settings import LoggingSettings, Settings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Outcome
from content_moderator.domain.errors import (
    ClassifierUnavailableError,
    CredentialsRefusedError,
    WarmingUpError,
    answerable_errors,
)
from content_moderator.domain.label import Label
from content_moderator.observability import logs, metrics
from tests.support.fake import Clock, FakeClassifier
from tests.support.paths import ROOT


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name} {labels} is not there"
    return value


@pytest.mark.parametrize("path", ["/healthcheck", "/livez", "/readyz"])
def test_healthy(path: str, client: FlaskClient) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.get_json() == {"status": "ready" if path == "/readyz" else "ok"}
    assert client.head(path).status_code == 200


def test_health_does_not_depend_on_the_classifier() -> None:
    client = create_app(
        Settings(), classifier=FakeClassifier(error=ClassifierUnavailableError())
    ).test_client()
    assert client.get("/healthcheck").status_code == 200
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503


def probed(fake: FakeClassifier, clock: Clock, wait: float = 5.0) -> Health:
    return Health(fake, interval_seconds=5.0, wait_seconds=wait, clock=clock)


def test_readiness_follows_the_last_call_and_probes_sparingly() -> None:
    fake, clock = FakeClassifier(error=CredentialsRefusedError()), Clock()
    classifier = probed(fake, clock)

    assert classifier.readiness().reason == "classifier_credentials_refused"
    assert len(fake.seen) == 1, "the first question sends one probe"
    assert classifier.readiness().state == "unavailable"
    assert len(fake.seen) == 1, "and the next ones none until the interval has passed"

    fake.error = WarmingUpError()
    clock.now += 5
    assert classifier.readiness().state == "warming"

    fake.error = None
    clock.now += 5
    assert classifier.readiness().ready
    clock.now += 1000
    assert classifier.readiness().ready
    assert len(fake.seen) == 3, "a classifier that answers is not probed"


def test_traffic_counts_as_well_as_probes() -> None:
    fake, clock = FakeClassifier(), Clock()
    classifier = probed(fake, clock)
    classifier.classify(["a"], CallContext())
    assert classifier.readiness().ready
    fake.error = ClassifierUnavailableError()
    assert classifier.classify(["a"], CallContext()) == [fake.error]
    clock.now += 5
    assert classifier.readiness().reason == "classifier_unavailable"
    fake.error = None
    classifier.classify(["a"], CallContext())
    assert classifier.readiness().ready


def test_classifier_that_hangs_is_not_ready_and_gets_one_probe_only() -> None:
    release, entered = threading.Event(), threading.Event()

    class Hanging(FakeClassifier):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            entered.set()
            release.wait(10)
            return super().classify(texts, context)

    fake, clock = Hanging(), Clock()
    classifier = probed(fake, clock, wait=0.0)
    for _ in range(5):
        assert classifier.readiness().state == "warming"
        clock.now += 60
    assert entered.wait(5)
    release.set()
    assert classifier._probe is not None
    classifier._probe.join(5)
    assert classifier.readiness().ready
    assert len(fake.seen) == 1


def test_method_counters_count_each_call_once(client: FlaskClient) -> None:
    """As in the service that this one replaces: every call, whatever came of it."""
    classify, health = sample("classify_total"), sample("healthcheck_total")
    client.post("/classify", json={"text": "a"})
    client.post("/classify", data=b"not json")
    client.options("/classify")
    client.get("/healthcheck")
    assert sample("classify_total") - classify == 2
    assert sample("healthcheck_total") - health == 1


def test_what_happened_shows_in_the_metrics(fake: FakeClassifier, client: FlaskClient) -> None:
    names: list[tuple[str, dict[str, str]]] = [
        ("content_moderator_decisions_total", {"classifier": "embedded", "decision": "block"}),
        ("content_moderator_reasons_total", {"classifier": "embedded", "label": "S", "action": "block"}),
        ("content_moderator_classifier_calls_total", {"classifier": "embedded", "outcome": "ok"}),
        ("content_moderator_classifier_call_duration_seconds_count", {"classifier": "embedded"}),
        (
            "content_moderator_http_requests_total",
            {"endpoint": "classify.classify", "method": "POST", "status": "2xx"},
        ),
        ("content_moderator_http_request_duration_seconds_count", {"endpoint": "classify.classify"}),
    ]
    fake.scores |= {Label.S: 0.99, Label.OK: 0.01}
    before = [sample(name, **labels) for name, labels in names]
    client.post("/classify", json={"text": "a"})
    assert [sample(name, **labels) for name, labels in names] == [value + 1 for value in before]
    assert sample("content_moderator_http_requests_in_progress") == 0


def test_request_in_progress_is_counted_once(client: FlaskClient) -> None:
    """An answer that is compressed in pieces leaves its context a second time."""
    with client.get("/static/page.js", headers={"Accept-Encoding": "br"}) as answer:
        assert answer.headers["Content-Encoding"] == "br"
        assert answer.data
    assert sample("content_moderator_http_requests_in_progress") == 0


@pytest.mark.parametrize("error", [ClassifierUnavailableError(), RuntimeError()])
def test_failed_calls_are_counted_by_outcome(error: Exception) -> None:
    outcome = getattr(error, "code", "internal_error")
    name = "content_moderator_classifier_calls_total"
    client = create_app(Settings(), classifier=FakeClassifier(error=error)).test_client()
    before = sample(name, classifier="embedded", outcome=outcome)
    errors = sample("content_moderator_errors_total", code=outcome)
    client.post("/classify", json={"text": "a"})
    assert sample(name, classifier="embedded", outcome=outcome) - before == 1
    assert sample("content_moderator_errors_total", code=outcome) - errors == 1


def test_label_sets_are_closed(client: FlaskClient) -> None:
    """What a caller makes up never becomes a label."""
    before = {(s.name, *s.labels.items()) for family in REGISTRY.collect() for s in family.samples}
    client.open("/made/up/path", method="GET")
    client.open("/classify", method="MADEUP")
    client.open("/made/up/too", method="MADEUP")
    after = {(s.name, *s.labels.items()) for family in REGISTRY.collect() for s in family.samples}
    assert not [key for key in after - before if "made" in str(key).lower()]


def test_metrics_page_can_be_scraped(client: FlaskClient) -> None:
    response = client.get("/metrics")
    assert response.content_type.startswith("text/plain; version=")
    assert "classify_total" in response.text
    newer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert newer.content_type.startswith("application/openmetrics-text")
    assert newer.text.endswith("# EOF\n")


def test_every_metric_and_error_is_documented(client: FlaskClient) -> None:
    documented = (ROOT / "docs" / "operate.md").read_text()
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("content_moderator_")}
    assert ours
    for name in ours | set(metrics.METHOD_NAMES.values()):
        assert re.search(rf"`{name}(_total)?`", documented), f"{name} is not in docs/operate.md"
    errors = (ROOT / "docs" / "errors.md").read_text()
    for code in [*metrics.HTTP_ERROR_CODES, *(error.code for error in answerable_errors())]:
        assert f"`{code}`" in errors, f"{code} is not in docs/errors.md"


SECRET_TEXT = "canary-words-of-a-caller"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda c: c.post("/classify", json={"text": SECRET_TEXT}), id="answered"),
        pytest.param(lambda c: c.post(f"/classify?message={SECRET_TEXT}"), id="in the query"),
        pytest.param(lambda c: c.post("/classify", data=SECRET_TEXT), id="wrong type"),
        pytest.param(lambda c: c.post("/classify", json={SECRET_TEXT: SECRET_TEXT}), id="as a key"),
        pytest.param(lambda c: c.post("/classify", json={"text": SECRET_TEXT * 9999}), id="too long"),
        pytest.param(lambda c: c.get(f"/{SECRET_TEXT}"), id="as a path"),
    ],
)
@pytest.mark.parametrize("error", [None, RuntimeError(SECRET_TEXT), ClassifierUnavailableError("x")])
@pytest.mark.parametrize("style", ["json", "console"])
def test_no_text_is_ever_logged(
    call: Callable[[FlaskClient], object],
    error: Exception | None,
    style: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = Settings(logging=LoggingSettings(level="debug", format=style))  # type: ignore[arg-type]
    call(create_app(settings, classifier=FakeClassifier(error=error)).test_client())
    logs.flush()
    out, err = capfd.readouterr()
    assert "request" in out
    assert SECRET_TEXT not in out + err


def test_log_line_is_json_with_the_request_id(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post("/classify", json={"text": "a"}, headers={"X-Request-ID": "id-7"})
    [line] = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert event["event"] == "request"
    assert event["request_id"] == "id-7"
    assert event["endpoint"] == "classify.classify"
    assert event["status"] == 200
    assert event["decision"] == "allow"


def test_request_lines_can_be_switched_off(fake: FakeClassifier, capsys: pytest.CaptureFixture[str]) -> None:
    app = create_app(Settings(logging=LoggingSettings(requests=False)), classifier=fake)
    app.test_client().get("/livez")
    assert capsys.readouterr().out == ""
