"""Building the classifier: each missing setting is one clear error."""

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from content_moderator.app import create_app
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.classifiers.pipeline import BUILDERS, build_classifier
from content_moderator.classifiers.wrappers.batching import Batching
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import (
    ClassifierSettings,
    PolicySettings,
    ReadinessSettings,
    RetrySettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.label import Label
from content_moderator.net.urls import checked_url
from content_moderator.observability import metrics
from tests.support.fake import FakeClassifier
from tests.support.fault_server import FaultServer, Step, reply, scores

KOALA = Settings(
    classifier=ClassifierSettings(name="koala", retries=RetrySettings(max_attempts=1)),
    readiness=ReadinessSettings(probe_at_start=False),
    bearer_token=Secret("x"),
)


def with_url(url: str | None) -> Settings:
    return replace(KOALA, classifier=replace(KOALA.classifier, config=UpstreamSettings(url=url)))


def test_default_is_embedded() -> None:
    assert isinstance(build_classifier(Settings()), EmbeddedClassifier)


def test_koala_is_one_setting_and_a_token() -> None:
    classifier = build_classifier(KOALA)
    assert isinstance(classifier, Batching)
    assert classifier.identity.revision == KOALA.classifier.config.revision


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            Settings(classifier=ClassifierSettings(name="kangaroo")),
            r"classifier\.name: unknown classifier 'kangaroo' \(there are: embedded, koala\)",
            id="unknown name",
        ),
        pytest.param(with_url(None), r"classifier\.config\.url: missing", id="no url"),
        pytest.param(replace(KOALA, bearer_token=None), r"BEARER_TOKEN: missing", id="no token"),
        pytest.param(
            Settings(classifier=ClassifierSettings(model_path="/nowhere.bin")),
            r"/nowhere\.bin",
            id="no model",
        ),
        pytest.param(with_url("ftp://host/x"), "must be an http or https URL", id="scheme"),
        pytest.param(with_url("file:///etc/passwd"), "must be an http or https URL", id="file"),
        pytest.param(with_url("http:///x"), "must be an http or https URL", id="no host"),
        pytest.param(with_url("http://a b/"), "must be an http or https URL", id="space"),
        pytest.param(with_url("http://a\r\nX: y/"), "not a URL", id="line break"),
        pytest.param(with_url("http://host:99999/"), "not a URL", id="port"),
        pytest.param(with_url("http://.host/"), "not a URL that can be called", id="empty label"),
        pytest.param(with_url("http://[::1/"), "not a URL", id="brackets"),
        pytest.param(with_url("https://user:pass@host/"), "must not carry credentials", id="credentials"),
    ],
)
def test_each_gap_is_named(settings: Settings, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_app(settings)


def test_authority_that_is_not_there_is_named() -> None:
    config = replace(KOALA.classifier.config, ca_file="/nowhere.pem")
    settings = replace(KOALA, classifier=replace(KOALA.classifier, config=config))
    with pytest.raises(ConfigurationError, match=r"ca_file: there is no file /nowhere\.pem"):
        create_app(settings)


@pytest.mark.parametrize(
    ("protocol", "url", "path"),
    [
        ("hf", "", "/"),
        ("hf", "/models/koala", "/models/koala"),
        ("tei", "", "/predict"),
        ("tei", "/", "/predict"),
        ("tei", "/proxied/predict", "/proxied/predict"),
        ("infinity", "/?key=1", "/classify?key=1"),
    ],
)
def test_protocols_know_their_paths_and_whether_they_need_a_token(
    protocol: str, url: str, path: str, upstream: FaultServer
) -> None:
    upstream.play(reply(scores()))
    config = UpstreamSettings(url=f"http://127.0.0.1:{upstream.port}{url}", protocol=protocol)
    token = Secret("x") if protocol == "hf" else None
    client = create_app(
        replace(KOALA, classifier=replace(KOALA.classifier, config=config), bearer_token=token)
    ).test_client()
    client.post("/classify", json={"text": "a text"})
    assert upstream.received[0].request_line == f"POST {path} HTTP/1.1"
    assert ("authorization" in upstream.received[0].headers) == (protocol == "hf")


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://host/", True),
        ("http://127.0.0.1:9000/", True),
        ("http://[::1]:9000/", True),
        ("http://localhost/", True),
        ("http://host/", False),
        ("http://127.0.0.1.example/", False),
    ],
)
def test_https_may_be_required_except_to_this_machine(url: str, accepted: bool) -> None:
    assert checked_url(url, "key", require_https=False) == url
    if accepted:
        assert checked_url(url, "key", require_https=True) == url
    else:
        with pytest.raises(ConfigurationError, match="key: must be https"):
            checked_url(url, "key", require_https=True)


def test_every_classifier_has_thresholds_and_metrics() -> None:
    assert set(BUILDERS) == set(PolicySettings().build().rules)
    for name in BUILDERS:
        metrics.initialise(name)
        labels = {"classifier": name, "outcome": "ok"}
        assert REGISTRY.get_sample_value("content_moderator_classifier_calls_total", labels) is not None


def test_new_classifier_takes_one_entry_and_thresholds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    classifier = FakeClassifier({Label.V: 0.4})
    classifier.identity = ClassifierIdentity("house", "model", "1", frozenset({"en"}))
    monkeypatch.setitem(BUILDERS, "house", lambda _: classifier)
    file = tmp_path / "app_conf.yml"
    environ = {"MODERATOR_CONFIG_DIR": str(tmp_path)}
    file.write_text("{classifier: {name: house}, policy: {house: {V: {review: 0.3}}}}")
    answer = create_app(load_settings(environ)).test_client().post("/classify", json={"text": "a text"})
    assert answer.get_json()["decision"] == "review"
    file.write_text("{classifier: {name: house}}")
    with pytest.raises(ConfigurationError, match=r"policy\.house: missing"):
        create_app(load_settings(environ))


def koala_client(upstream: FaultServer) -> FlaskClient:
    return create_app(with_url(upstream.url)).test_client()


@pytest.mark.parametrize(
    ("named", "decision", "label"),
    [
        ({"OK": 0.97}, "allow", None),
        ({"V": 0.9}, "block", "V"),
        ({"HR": 0.4, "OK": 0.55}, "review", "HR"),
        ({"S3": 0.2, "S": 0.2, "OK": 0.59}, "review", "S3"),
        ({"H": 0.25, "HR": 0.25, "V": 0.25, "OK": 0.2}, "review", "ANY"),
    ],
)
def test_koala_is_judged_by_its_own_policy(
    named: dict[str, float], decision: str, label: str | None, upstream: FaultServer
) -> None:
    """Koala's scores sum to 1: a text with a little of everything is only visible in the sum."""
    upstream.play(reply(scores(**named)))
    body = koala_client(upstream).post("/classify", json={"text": "a text"}).get_json()
    assert body["decision"] == decision
    assert body["classifier"]["name"] == "koala"
    assert label is None or label in [reason["label"] for reason in body["reasons"]]


def test_refused_credentials_are_our_502(upstream: FaultServer) -> None:
    """A 401 for our token is never passed on: the caller's own credentials are valid."""
    upstream.play(Step(401, b'{"error":"Invalid credentials in Authorization header"}'))
    response = koala_client(upstream).post("/classify", json={"text": "a text"})
    assert (response.status_code, response.get_json()["code"]) == (502, "classifier_credentials_refused")
    assert "Invalid credentials" not in response.text


def test_loading_model_is_our_503_with_its_estimate(upstream: FaultServer) -> None:
    upstream.play(Step(503, b'{"error":"Model X is currently loading","estimated_time":20.4}'))
    response = koala_client(upstream).post("/classify", json={"text": "a text"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "21")
