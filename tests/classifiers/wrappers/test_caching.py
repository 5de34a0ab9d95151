"""The cache in front of the classifier: what it answers, and how often the classifier is called."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.cache.answer_cache import AnswerCache
from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.classifiers.wrappers import near_copy_checker
from content_moderator.classifiers.wrappers.caching import Caching
from content_moderator.classifiers.wrappers.near_copy_checker import NearCopyChecker
from content_moderator.config.settings import (
    CacheSettings,
    ExactCacheSettings,
    Settings,
    SharedCacheSettings,
    SimilarCacheSettings,
)
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.caller import Caller
from content_moderator.domain.classification import CacheOutcome, Classification, ClassifierIdentity, Outcome
from content_moderator.domain.errors import (
    ClassifierUnavailableError,
    MissingExtraError,
    RequestRefusedError,
)
from content_moderator.domain.label import Label
from content_moderator.observability import metrics
from content_moderator.text.cleaning import clean
from tests.cache.near_copies.test_guard import variants
from tests.support.fake import HARMLESS, FakeClassifier, scored
from tests.support.fault_server import wait_until

KOALA = ClassifierIdentity("koala", "model", "1")
VIOLENT = HARMLESS | {Label.V: 0.95, Label.OK: 0.01}
TEXT = "Your parcel 4411 has arrived at the shop, bring your card"
COPY = "Your parcel 4412 has arrived at the shop, bring your card"


class Oracle(FakeClassifier):
    """Knows which texts are harmful; can fail, or be replaced by a stand-in."""

    def __init__(self, harmful: Sequence[str] = ()) -> None:
        super().__init__()
        self.identity = KOALA
        self.harmful = frozenset(map(clean, harmful))
        self.degraded = False

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        outcomes = super().classify(texts, context)
        if self.error is not None:
            return outcomes
        return [
            Classification(VIOLENT if text in self.harmful else HARMLESS, KOALA, degraded=self.degraded)
            for text in texts
        ]


def settings(mode: str, **exact: Any) -> Settings:
    similar = SimilarCacheSettings(mode=mode, sample_rate=0.0)  # type: ignore[arg-type]
    return Settings(cache=CacheSettings(exact=ExactCacheSettings(**exact), similar=similar))


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


def client(oracle: Oracle, mode: str = "off", **exact: Any) -> FlaskClient:
    return create_app(settings(mode, **exact), classifier=oracle).test_client()


def cache_of(client: FlaskClient, text: str, **headers: str) -> dict[str, Any]:
    response = client.post("/classify", json={"text": text}, headers=headers)
    assert response.status_code == 200, response.get_json()
    found: dict[str, Any] = response.get_json()["cache"]
    return found


def looked_up(layer: str, result: str) -> float:
    return metrics.CACHE_LOOKUPS.labels(layer, result)._value.get()  # type: ignore[no-any-return]


MISS = {"status": "miss", "distance": None}
EXACT = {"status": "exact", "distance": 0}


def test_identical_text_is_answered_once(oracle: Oracle) -> None:
    asking = client(oracle)
    before = looked_up("exact", "hit"), looked_up("exact", "miss")
    assert cache_of(asking, TEXT) == MISS
    assert cache_of(asking, f" {TEXT}\n") == EXACT, "what is cleaned away makes no difference"
    assert cache_of(asking, TEXT.lower()) == MISS, "case does"
    assert len(oracle.seen) == 2
    assert (looked_up("exact", "hit") - before[0], looked_up("exact", "miss") - before[1]) == (1, 2)


def test_remembered_answer_is_the_same_and_tells_its_age(oracle: Oracle) -> None:
    asking = client(oracle)
    first, second = (asking.post("/classify", json={"text": TEXT}) for _ in range(2))
    changing = {"request_id", "cache"}
    assert {k: v for k, v in first.get_json().items() if k not in changing} == {
        k: v for k, v in second.get_json().items() if k not in changing
    }
    assert "Age" not in first.headers
    assert second.headers["Age"] == "0"
    assert 'cache;desc="miss"' in first.headers["Server-Timing"]
    assert 'cache;desc="exact"' in second.headers["Server-Timing"]


def test_cache_can_be_switched_off(oracle: Oracle) -> None:
    asking = client(oracle, enabled=False)
    assert [cache_of(asking, TEXT) for _ in range(2)] == [MISS, MISS]


@pytest.mark.parametrize("directive", ["no-cache", "No-Cache, max-age=0"])
def test_caller_can_ask_for_a_fresh_answer(oracle: Oracle, directive: str) -> None:
    asking = client(oracle)
    assert cache_of(asking, TEXT) == MISS
    oracle.harmful = frozenset({TEXT})
    fresh = asking.post("/classify", json={"text": TEXT}, headers={"Cache-Control": directive})
    assert fresh.get_json()["decision"] == "block"
    again = asking.post("/classify", json={"text": TEXT}).get_json()
    assert (again["decision"], again["cache"]) == ("block", EXACT), (
        "the fresh answer took the old one's place"
    )


def test_caller_can_ask_to_leave_no_trace(oracle: Oracle) -> None:
    asking = client(oracle)
    assert [cache_of(asking, TEXT, **{"Cache-Control": "no-store"}) for _ in range(2)] == [MISS, MISS]
    assert cache_of(asking, TEXT) == MISS


def test_errors_are_not_remembered(oracle: Oracle) -> None:
    asking = client(oracle)
    oracle.error = ClassifierUnavailableError("away")
    assert asking.post("/classify", json={"text": TEXT}).status_code == 503
    oracle.error = None
    assert cache_of(asking, TEXT) == MISS


def test_stand_ins_and_similar_answers_are_not_remembered(oracle: Oracle) -> None:
    asking = client(oracle, "on")
    oracle.degraded = True
    assert cache_of(asking, TEXT) == MISS
    oracle.degraded = False
    assert cache_of(asking, TEXT) == MISS
    assert cache_of(asking, COPY)["status"] == "similar"
    assert cache_of(asking, COPY)["status"] == "similar", "not exact"
    assert oracle.seen == [TEXT, TEXT]


def test_answers_of_another_classifier_are_not_remembered(oracle: Oracle) -> None:
    memory = AnswerCache(ExactCacheSettings(), ClassifierIdentity("koala", "model", "2"))
    assert memory.put([(TEXT, scored(oracle, [TEXT])[0])]) == set()
    assert memory.get(TEXT) is None


@pytest.mark.parametrize(
    ("mode", "working", "failing"),
    [
        pytest.param("off", "miss", None, id="off"),
        pytest.param("fallback", "miss", "similar", id="fallback"),
        pytest.param("on", "similar", "similar", id="on"),
    ],
)
def test_modes(oracle: Oracle, mode: str, working: str, failing: str | None) -> None:
    asking = client(oracle, mode)
    cache_of(asking, TEXT)
    assert cache_of(asking, COPY)["status"] == working
    oracle.error = ClassifierUnavailableError("away")
    response = asking.post("/classify", json={"text": COPY.replace("4412", "4423")})
    if failing is None:
        assert response.status_code == 503
    else:
        assert response.get_json()["cache"]["status"] == failing
        assert response.get_json()["cache"]["distance"] in {1, 2}
    assert asking.post("/classify", json={"text": "There is nothing like this one yet"}).status_code == 503


def test_near_copy_is_better_than_a_stand_in(oracle: Oracle) -> None:
    asking = client(oracle, "fallback")
    cache_of(asking, TEXT)
    oracle.degraded = True
    answer = asking.post("/classify", json={"text": COPY}).get_json()
    assert (answer["degraded"], answer["cache"]) == (True, {"status": "similar", "distance": 1})
    assert answer["classifier"]["name"] == "koala"
    assert asking.post("/classify", json={"text": "There is nothing like this"}).get_json()["degraded"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Bus 4 is late", id="short"),
        pytest.param("Bus 4 is late. " * 200, id="long"),
        pytest.param("Bus 4 is l\uff41te, and nobody knows why", id="disguised"),
    ],
)
def test_texts_that_are_not_compared(oracle: Oracle, text: str) -> None:
    asking = client(oracle, "on")
    before = looked_up("similar", "skipped")
    cache_of(asking, text)
    assert cache_of(asking, text.replace("4", "5")) == MISS
    assert looked_up("similar", "skipped") - before == 2


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_no_harmful_text_is_answered_as_benign(backwards: bool) -> None:
    """All minimal pairs through the whole service: no harmful text gets the answer of a near copy."""
    pairs = list(variants("minimal_pairs.txt"))
    asking = client(Oracle([harmful.strip() for _, harmful in pairs]), "on")
    wrong = []
    for benign, harmful in pairs:
        for text in (harmful, benign) if backwards else (benign, harmful):
            answer = asking.post("/classify", json={"text": text}).get_json()
            if answer["flagged"] != (text == harmful):
                wrong.append((text, answer["cache"]))
    assert not wrong


def test_harmless_near_copies_are_answered_from_memory() -> None:
    copies = list(variants("near_copies.txt"))
    assert len(copies) >= 300
    served = 0
    for pair in (copies, [copy[::-1] for copy in copies]):
        asking = client(Oracle(), "on")
        served += sum(
            cache_of(asking, one) is not None and cache_of(asking, other)["status"] != "miss"
            for one, other in pair
        )
    assert served >= 0.85 * 2 * len(copies)


class OneCache:
    """The cache of all callers."""

    def __init__(self) -> None:
        self.cache = AnswerCache(ExactCacheSettings(), KOALA)

    def of(self, caller: Caller | None) -> AnswerCache:
        return self.cache


def test_what_succeeded_beside_an_error_is_remembered() -> None:
    class Picky(Oracle):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            answers = super().classify(texts, context)
            return [
                RequestRefusedError("x") if "bad" in t else a for t, a in zip(texts, answers, strict=True)
            ]

    picky = Picky()
    asking = Caching(picky, OneCache(), near_copies="off")
    outcomes = asking.classify(["good", "bad", "fine"], CallContext())
    assert [isinstance(each, Classification) for each in outcomes] == [True, False, True]
    asking.classify(["good", "bad", "fine"], CallContext())
    assert picky.seen == ["good", "bad", "fine", "bad"]


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        pytest.param(CacheMode.USE, 1, id="use"),
        pytest.param(CacheMode.REFRESH, 2, id="refresh"),
        pytest.param(CacheMode.BYPASS, 2, id="bypass"),
    ],
)
def test_cache_mode_says_how_the_cache_takes_part(oracle: Oracle, mode: CacheMode, asked: int) -> None:
    caches = OneCache()
    asking = Caching(oracle, caches, near_copies="off")
    for _ in range(2):
        asking.classify([TEXT], CallContext(cache_mode=mode))
    assert len(oracle.seen) == asked
    assert (caches.cache.get(TEXT) is None) == (mode is CacheMode.BYPASS)


def test_text_whose_answer_is_gone_is_forgotten() -> None:
    oracle = Oracle()
    pipeline = build_pipeline(settings("on"), oracle)
    scored(pipeline.classifier, [TEXT])
    assert pipeline.caches is not None
    cache = pipeline.caches.of(None)
    cache._exact._entries.clear()
    for _ in range(2):
        assert cache.get_near_copy(COPY) is None
    assert cache._near is not None
    assert len(cache._near._index) == 0


def test_memory_without_near_copies_recalls_none() -> None:
    memory = AnswerCache(ExactCacheSettings(), KOALA)
    memory.put([(TEXT, scored(Oracle(), [TEXT])[0])])
    assert memory.get_near_copy(COPY) is None


def test_embedded_classifier_has_no_use_for_fallback() -> None:
    pipeline = build_pipeline(Settings())
    assert pipeline.caches is not None
    assert pipeline.caches.of(None)._near is None


def test_shared_cache_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name
        for name in sys.modules
        if name.startswith(("content_moderator.cache.redis", "content_moderator.cache.encryption"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    chosen = Settings(cache=CacheSettings(shared=SharedCacheSettings(url="redis://127.0.0.1")))
    with pytest.raises(MissingExtraError, match=r"cache.shared.url: cryptography is not installed; .*redis"):
        build_pipeline(chosen)


SIMILAR = Classification(HARMLESS, KOALA, CacheOutcome("similar", 1, 5.0))


def sample(classifier: Oracle, given: Classification = SIMILAR, **options: Any) -> Mapping[str, float]:
    """Check one answer; tell what was counted."""
    before = {
        result: metrics.CACHE_SAMPLES.labels(result)._value.get() for result in near_copy_checker.RESULTS
    }
    policy = Settings().policy.build()
    chosen: dict[str, Any] = {
        "rate": 0.5,
        "decide": lambda answer: policy.judge(answer).decision,
        "chance": lambda: 0.4,
    } | options
    checker = NearCopyChecker(classifier, **chosen)
    checker.check(TEXT, given, CallContext(), lambda _: None)
    checker._thread.shutdown()
    after = {
        result: metrics.CACHE_SAMPLES.labels(result)._value.get() for result in near_copy_checker.RESULTS
    }
    return {result: after[result] - before[result] for result in after if after[result] != before[result]}


def test_sampled_answers_are_checked() -> None:
    assert sample(Oracle()) == {"agrees": 1}
    assert sample(Oracle([TEXT])) == {"stricter": 1}
    assert sample(Oracle(), replace(SIMILAR, scores=VIOLENT)) == {"milder": 1}
    failing = Oracle()
    failing.error = ClassifierUnavailableError("away")
    assert sample(failing) == {"failed": 1}
    failing.error = ZeroDivisionError()
    assert sample(failing) == {"failed": 1}
    stand_in = Oracle()
    stand_in.degraded = True
    assert sample(stand_in) == {"failed": 1}
    assert sample(Oracle(), chance=lambda: 0.5) == {}


def test_samples_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_copy_checker, "MAX_WAITING", 0)
    assert sample(Oracle()) == {"dropped": 1}


def test_sampled_answer_takes_the_place_of_the_similar_one() -> None:
    oracle = Oracle([COPY])
    similar = SimilarCacheSettings(mode="on", sample_rate=1.0)
    asking = create_app(Settings(cache=CacheSettings(similar=similar)), classifier=oracle).test_client()
    cache_of(asking, TEXT)
    assert asking.post("/classify", json={"text": COPY}).get_json()["decision"] == "allow"
    wait_until(lambda: len(oracle.seen) == 2)
    wait_until(lambda: cache_of(asking, COPY) == EXACT)
    assert asking.post("/classify", json={"text": COPY}).get_json()["decision"] == "block"
