"""The language of texts, and the treatment of languages that are not judged."""

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.config.settings import ClassifierSettings, PolicySettings, Settings, TermSettings
from content_moderator.text import language
from content_moderator.text.language import Language, language_of

RUSSIAN = (
    "\u042f \u0442\u0435\u0431\u044f \u0443\u0431\u044c\u044e \u0441\u0435\u0433\u043e\u0434\u043d\u044f"
)
GERMAN = "Ich bringe dich heute Abend um, du Idiot"


TURKISH = "Seni yarin oldurecegim pis kopek, arkadaslarin da seninle birlikte gidecek, bunu unutma"
KIND = "I had a lovely day at the park with my family. "


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("We went to the market and bought some oranges.", "en", id="English"),
        pytest.param("ok", "en", id="too little"),
        pytest.param("Nguyen Thi Lan", "en", id="a name"),
        pytest.param("Lionel Messi Cristiano Ronaldo", "en", id="names"),
        pytest.param("546e8c59-79f6-19f0-7efc-636ba1b47d75", "en", id="a key"),
        pytest.param("https://github.com/foo/barbaz/blob/main/src/qux.py", "en", id="a path"),
        pytest.param("lol brb gtg ttyl omg that was so good", "en", id="chat"),
        pytest.param("lol brb gtg ttyl", "en", id="less chat"),
        pytest.param("nice one \u00af\\_(\u30c4)_/\u00af, the area is \u03c0 r\u00b2", "en", id="signs"),
        pytest.param(GERMAN, "de", id="German"),
        pytest.param("Du bist ein Engel", "de", id="little German"),
        pytest.param("Das war gut", "en", id="too little German"),
        pytest.param("La vida es muy bella", "es", id="little Spanish"),
        pytest.param("J'adore le chocolat noir", "fr", id="little French"),
        pytest.param("Je vais te retrouver et te casser les jambes", "fr", id="French"),
        pytest.param("Na het noodweer staan een paar straten nog onder water.", "nl", id="Dutch"),
        pytest.param(RUSSIAN, "ru", id="Russian"),
        pytest.param(
            "\u042f\u043a \u0441\u043f\u0440\u0430\u0432\u0438, \u0434\u0440\u0443\u0436\u0435? \u0457\u0445",
            "uk",
            id="Ukrainian",
        ),
        pytest.param("\u4f60\u662f\u4e2a\u767d\u75f4\uff0c\u53bb\u6b7b\u5427", "zh", id="Chinese"),
        pytest.param("\u304a\u524d\u3092\u6bba\u3059\u305e", "ja", id="Japanese"),
        pytest.param("\u2d30\u2d37 \u2d3d \u2d4f\u2d56\u2d56", "und", id="an alphabet that is not listed"),
        pytest.param(
            "y\u043eu \u0455tu\u0440\u0456d b\u0456t\u0441h, g\u043e \u0430w\u0430y n\u043ew",
            "en",
            id="English in disguise",
        ),
        pytest.param(KIND * 30 + RUSSIAN, "ru", id="Russian behind much English"),
        pytest.param(f"lol haha {RUSSIAN.split()[2]}", "ru", id="a Russian word"),
        pytest.param(f"{KIND}{TURKISH}. {KIND}", "tr", id="Turkish between English"),
        pytest.param("-".join(TURKISH.split()), "tr", id="Turkish without white space"),
        pytest.param(
            "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in TURKISH.lower()),
            "tr",
            id="bold Turkish",
        ),
        pytest.param("", "en", id="nothing"),
    ],
)
def test_languages_are_told_apart(text: str, found: str) -> None:
    assert language_of(text).code == found


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("We went to the market today.", True),
        (RUSSIAN, True),
        ("ok", False),
        (f"my dear old friend, how are you today, {RUSSIAN}", False),
    ],
)
def test_doubt_is_told(text: str, certain: bool) -> None:
    assert language_of(text).certain is certain


def test_without_the_library_unknown_words_are_an_unknown_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_detector", lambda: None)
    assert language_of("We went to the market and bought some oranges.").code == "en"
    assert language_of(RUSSIAN).code == "ru"
    assert language_of("tum bahut bewakoof insaan bilkul pagal") == Language("und", certain=False)


def client_with(mode: str | None, *, second_opinion: bool = True) -> FlaskClient:
    policy = PolicySettings(other_languages=mode, terms=TermSettings(block=["casino"]))  # type: ignore[arg-type]
    chosen = ClassifierSettings(second_opinion=second_opinion)
    return create_app(Settings(classifier=chosen, policy=policy)).test_client()


@pytest.fixture(scope="module")
def usual() -> FlaskClient:
    return client_with(None)


def test_what_is_not_judged_goes_to_review_and_says_why(usual: FlaskClient) -> None:
    for _ in range(2):
        answer = usual.post("/classify", json={"text": RUSSIAN}).get_json()
        assert answer["language"] == {"code": "ru", "certain": True, "judged": False}
        assert (answer["decision"], answer["flagged"]) == ("review", True)
        [reason] = [each for each in answer["reasons"] if each["rule"] == "language"]
        assert (reason["label"], reason["action"]) == ("LANGUAGE", "review")
    text = usual.get("/metrics").get_data(as_text=True)
    assert 'content_moderator_texts_by_language_total{judged="false",language="ru"}' in text


def test_what_is_judged_is_judged_by_meaning_and_never_blocked(usual: FlaskClient) -> None:
    answer = usual.post("/classify", json={"text": GERMAN, "explain": True}).get_json()
    assert (answer["language"]["code"], answer["language"]["judged"]) == ("de", True)
    assert answer["decision"] == "review"
    assert {each["rule"] for each in answer["reasons"]} == {"score"}
    explained = answer["explanation"][0]
    assert explained["words"] == []
    assert explained["base"] + explained["second_opinion"] == pytest.approx(explained["log_odds"])
    friendly = usual.post("/classify", json={"text": "Vielen Dank, das war sehr nett von dir!"}).get_json()
    assert (friendly["decision"], friendly["language"]["judged"]) == ("allow", True)


def test_a_language_that_hides_in_entities_is_not_judged(usual: FlaskClient) -> None:
    hidden = "".join(f"&#{ord(character)};" if character.isalpha() else character for character in RUSSIAN)
    answer = usual.post("/classify", json={"text": f"Have a nice day {hidden}"}).get_json()
    assert (answer["decision"], answer["language"]["judged"]) == ("review", False)


@pytest.mark.parametrize(
    ("mode", "status", "decision"),
    [("review", 200, "review"), ("allow", 200, "allow"), ("refuse", 422, None)],
)
def test_policy_says_what_follows(mode: str, status: int, decision: str | None) -> None:
    client = client_with(mode)
    response = client.post("/classify", json={"text": RUSSIAN})
    assert response.status_code == status
    assert response.get_json().get("decision") == decision
    if status != 200:
        assert response.get_json()["code"] == "language_not_judged"
    terms = client.post("/classify", json={"text": f"{RUSSIAN} casino"})
    assert terms.status_code == status
    assert terms.get_json().get("decision") in {"block", None}
    batch = client.post("/classify/batch", json={"texts": ["thank you", RUSSIAN]}).get_json()["results"]
    assert batch[0]["decision"] == "allow"
    assert batch[1].get("decision") == decision


THANKS = "\u0421\u043f\u0430\u0441\u0438\u0431\u043e \u0437\u0430 \u043f\u043e\u043c\u043e\u0449\u044c"


def test_scores_decide_where_they_are_to() -> None:
    answer = client_with("judge").post("/classify", json={"text": THANKS}).get_json()
    assert (answer["decision"], answer["language"]["judged"]) == ("allow", False)


def test_without_the_second_opinion_english_alone_is_judged() -> None:
    client = client_with(None, second_opinion=False)
    answer = client.post("/classify", json={"text": GERMAN}).get_json()
    assert (answer["decision"], answer["language"]["judged"]) == ("review", False)
    assert "language" in {each["rule"] for each in answer["reasons"]}
    english = client.post("/classify", json={"text": "you pathetic idiot", "explain": True}).get_json()
    assert english["decision"] == "review"
    assert {each["second_opinion"] for each in english["explanation"]} == {0}


def test_other_protocols_say_it_in_a_header(usual: FlaskClient) -> None:
    texts = ["thank you so much for the lovely flowers", RUSSIAN]
    response = usual.post("/v1/moderations", json={"input": texts})
    assert response.headers["X-Moderation-Language"] == "en, ru;judged=false"
    kind, other = response.get_json()["results"]
    assert (kind["flagged"], other["flagged"]) == (False, True)
    assert not any(other["categories"].values())
    comment = {"comment": {"text": GERMAN}, "requestedAttributes": {"TOXICITY": {}}}
    response = usual.post("/v1alpha1/comments:analyze", json=comment)
    assert response.headers["X-Moderation-Language"] == "de"
    assert response.get_json()["detectedLanguages"] == ["de"]


def test_koala_is_asked_about_all_languages_as_ever() -> None:
    policy = PolicySettings().build()
    assert policy.other_languages == {"embedded": "review", "koala": "allow"}


def test_identity_tells_whether_there_is_a_second_opinion() -> None:
    one, both = EmbeddedClassifier.load(second_opinion=False).identity, EmbeddedClassifier.load().identity
    assert both.revision.startswith(f"{one.revision}+")
    assert (one.languages, "de" in both.languages) == (frozenset({"en"}), True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ich will mich umbringen.", "de"),
        ("Ich hasse Montage.", "de"),
        ("Halt die Fresse, du Arschloch.", "de"),
        ("Mijn buurman is moslim.", "nl"),
        ("Voglio uccidermi.", "it"),
        ("\u00bfVienes ma\u00f1ana conmigo a la exposici\u00f3n de fotos?", "es"),
        ("Desculpa o atraso, perdi o metr\u00f4.", "pt"),
        ("On peut d\u00e9caler l'appel \u00e0 quinze heures trente ?", "fr"),
        ("Seni \u00f6ld\u00fcrece\u011fim", "tr"),
        ("Leonardo da Vinci", "en"),
        ("cr\u00e8me br\u00fbl\u00e9e", "en"),
        ("The die is cast", "en"),
        ("Will die in June", "en"),
        ("magna cum laude", "en"),
    ],
)
def test_few_words_are_told_apart(text: str, found: str) -> None:
    """By words and accents as they are written: the reading for the model has lost them."""
    assert language_of(text).code == found
