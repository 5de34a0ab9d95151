"""Tokens of an identity provider: valid ones, and every attack that we know."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from content_moderator.access import jwks
from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.access.authenticator import build_authenticator
from content_moderator.access.jwks import PublishedKeys, read_keys
from content_moderator.access.jwt import build_verifier
from content_moderator.app import create_app
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import AuthSettings, Settings, TokenSettings
from content_moderator.domain.errors import (
    ConfigurationError,
    CredentialsInvalidError,
    IdentityProviderUnavailableError,
)
from content_moderator.observability import metrics
from tests.support.fake import FakeClassifier
from tests.support.fault_server import FaultServer, Step, wait_until
from tests.support.live import serving

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ISSUER, AUDIENCE = "https://id.example", "moderation"
TEXT = {"text": "one"}


def pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def claims(**changes: Any) -> dict[str, Any]:
    now = time.time()
    values = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "forum",
        "iat": now,
        "exp": now + 86_400,
        "scope": "openid classify",
    } | changes
    return {name: value for name, value in values.items() if value is not None}


def token(
    key: Any = RSA, algorithm: str = "RS256", headers: Mapping[str, Any] | None = None, **changes: Any
) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=dict(headers or {}))


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(pem(RSA))
    return path


def settings_with(path: Path | None = None, **changes: Any) -> TokenSettings:
    values = {"issuer": ISSUER, "audience": AUDIENCE, "public_key_file": str(path) if path else None}
    return TokenSettings(**values | changes)


def ask(settings: TokenSettings, presented: str, path: str = "/classify", mode: Any = "jwt") -> Any:
    app = create_app(Settings(auth=AuthSettings(mode=mode, jwt=settings)), classifier=FakeClassifier())
    client = app.test_client()
    headers = {"Authorization": f"Bearer {presented}"}
    return (
        client.post(path, json=TEXT, headers=headers)
        if path == "/classify"
        else client.get(path, headers=headers)
    )


def test_good_token_is_let_in(key_file: Path) -> None:
    caller = build_verifier(settings_with(key_file)).caller_of(token(scope="classify metrics x"))
    assert caller.tenant == "forum"
    assert sorted(caller.scopes) == ["classify", "metrics"]
    assert caller.key_id.startswith("jwt-")
    assert "forum" not in caller.key_id, "a subject may be a person"
    assert ask(settings_with(key_file), token()).status_code == 200


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        pytest.param(RSA, "RS256", id="RS256"),
        pytest.param(EC, "ES256", id="ES256"),
        pytest.param(ED, "EdDSA", id="EdDSA"),
    ],
)
def test_each_algorithm(key: Any, algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(pem(key))
    verifier = build_verifier(settings_with(path))
    assert verifier.caller_of(token(key, algorithm)).tenant == "forum"
    for other, theirs in ((RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")):
        if theirs != algorithm:
            with pytest.raises(CredentialsInvalidError):
                verifier.caller_of(token(other, theirs))
    only = [each for each in ("RS256", "ES256", "EdDSA") if each != algorithm]
    with pytest.raises(ConfigurationError, match=f"a key for {algorithm}, which auth.jwt.algorithms"):
        build_verifier(settings_with(path, algorithms=only))


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."


def signed_with_the_public_key() -> str:
    """The classic confusion: RSA's public key taken as the secret of HS256."""
    head = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    # PyJWT refuses to sign with a PEM, so this is done by hand.
    return f"{head}.{part(hmac.new(pem(RSA), head.encode(), hashlib.sha256).digest())}"


def brings_its_own_key() -> str:
    own = jwt.get_algorithm_by_name("RS256").to_jwk(OTHER_RSA.public_key(), as_dict=True)
    return token(OTHER_RSA, headers={"jwk": own, "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"})


def altered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(sub='admin', scope='classify admin'))}.{signature}"


ATTACKS = [
    pytest.param(unsigned("none"), id="alg none"),
    pytest.param(unsigned("None"), id="alg None"),
    pytest.param(unsigned("nOnE"), id="alg nOnE"),
    pytest.param(unsigned(""), id="alg empty"),
    pytest.param(f"{part({'typ': 'JWT'})}.{part(claims())}.", id="no alg"),
    pytest.param(f"{part({'alg': ['RS256']})}.{part(claims())}.x", id="alg a list"),
    pytest.param(f"{part({'alg': None})}.{part(claims())}.x", id="alg null"),
    pytest.param(signed_with_the_public_key(), id="key confusion"),
    pytest.param(token("x" * 64, "HS256"), id="HS256"),
    pytest.param(token(RSA, "RS384"), id="an algorithm that is not pinned"),
    pytest.param(token(RSA, "PS256"), id="PS256 by the same key"),
    pytest.param(token(OTHER_RSA), id="another key"),
    pytest.param(brings_its_own_key(), id="a key in the header"),
    pytest.param(altered(), id="altered claims"),
    pytest.param(token()[:-4] + "AAAA", id="altered signature"),
    pytest.param(token().rsplit(".", 1)[0] + ".", id="no signature"),
    pytest.param(token(exp=time.time() - 60), id="expired"),
    pytest.param(token(exp=None), id="no expiry"),
    pytest.param(token(exp="soon"), id="expiry a word"),
    pytest.param(token(exp=[1]), id="expiry a list"),
    pytest.param(token(exp=float("inf")), id="expiry never"),
    pytest.param(token(nbf=time.time() + 40_000), id="not yet"),
    pytest.param(token(iat=time.time() + 40_000), id="issued in the future"),
    pytest.param(token(aud="elsewhere"), id="wrong audience"),
    pytest.param(token(aud=["elsewhere", "there"]), id="wrong audiences"),
    pytest.param(token(aud=None), id="no audience"),
    pytest.param(token(aud={"moderation": 1}), id="audience an object"),
    pytest.param(token(aud=""), id="audience empty"),
    pytest.param(token(iss="https://id.example.evil"), id="wrong issuer"),
    pytest.param(token(iss=None), id="no issuer"),
    pytest.param(token(headers={"crit": ["exp"], "exp": 1}), id="critical header"),
    pytest.param(token(headers={"b64": False, "crit": ["b64"]}), id="unencoded payload"),
    pytest.param(token(sub=None), id="no tenant"),
    pytest.param(token(sub="a b"), id="tenant with a space"),
    pytest.param(token(sub="a\nb"), id="tenant with a line break"),
    pytest.param(token(sub="x" * 129), id="huge tenant"),
    pytest.param(token(pad="x" * 9000), id="huge"),
    pytest.param(part({"alg": "RS256", "cty": "JWT"}) + "." + part(token().encode()) + ".x", id="nested"),
    pytest.param(f"{part(b'[' * 4000)}.{part(claims())}.x", id="deep header"),
    pytest.param(f"{part({'alg': 'RS256', 'kid': {'a': 1}})}.{part(claims())}.x", id="kid an object"),
    pytest.param(f"{part({'alg': 'RS256', 'kid': '../../etc/passwd'})}.{part(claims())}.x", id="kid a path"),
    pytest.param(f"{part([1])}.{part(claims())}.x", id="header a list"),
    pytest.param(f"{part(b'{' + bytes([255]))}.{part(claims())}.x", id="header not UTF-8"),
    pytest.param("a.b.c", id="no base64"),
    pytest.param("...", id="dots"),
    pytest.param("x" * 100, id="no dots"),
    pytest.param(token() + "." + token(), id="two"),
    pytest.param(token() + " " + token(), id="two words"),
    pytest.param(f"{token()}, {token()}", id="a list"),
    pytest.param("cm_" + token(), id="with the beginning of a key"),
]


@pytest.mark.parametrize("presented", ATTACKS)
def test_nobody_gets_in_without_a_good_token(presented: str, key_file: Path) -> None:
    answer = ask(settings_with(key_file), presented)
    assert answer.status_code == 401
    assert answer.get_json()["code"] == "credentials_invalid"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert presented not in answer.text


def test_signed_list_is_no_claims(key_file: Path) -> None:
    listed = jwt.PyJWS().encode(b"[1]", RSA, "RS256")
    deep = jwt.PyJWS().encode(b"[" * 3000, RSA, "RS256")
    for presented in (listed, deep):
        assert ask(settings_with(key_file), presented).status_code == 401


def test_clocks_may_differ_a_little(key_file: Path) -> None:
    verifier = build_verifier(settings_with(key_file, leeway_seconds=30))
    assert verifier.caller_of(token(exp=time.time() - 10, nbf=time.time() + 10))
    with pytest.raises(CredentialsInvalidError):
        verifier.caller_of(token(exp=time.time() - 40))


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [
        pytest.param({"scope": "classify"}, "/classify", 200, id="classify"),
        pytest.param({"scope": None, "scp": ["classify"]}, "/classify", 200, id="a list"),
        pytest.param({"scope": None}, "/classify", 403, id="none"),
        pytest.param({"scope": "metrics"}, "/classify", 403, id="another"),
        pytest.param({"scope": "classifyx"}, "/classify", 403, id="a longer word"),
        pytest.param({"scope": {"classify": 1}}, "/classify", 403, id="an object"),
        pytest.param({"scope": "classify"}, "/metrics", 403, id="no metrics"),
        pytest.param({"scope": "metrics"}, "/metrics", 200, id="metrics"),
        pytest.param({"scope": "classify metrics"}, "/policies", 403, id="no admin"),
        pytest.param({"scope": "admin"}, "/policies", 200, id="admin"),
    ],
)
def test_scope(scopes: Mapping[str, Any], path: str, status: int, key_file: Path) -> None:
    answer = ask(settings_with(key_file), token(**scopes), path)
    assert answer.status_code == status
    if status == 403:
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_claims_may_be_called_otherwise(key_file: Path) -> None:
    settings = settings_with(key_file, tenant_claim="org", scope_prefix="moderation:")
    caller = build_verifier(settings).caller_of(token(org="auth0|7", scope="moderation:classify metrics"))
    assert (caller.tenant, [*caller.scopes]) == ("auth0|7", ["classify"])


def test_either_key_or_token(key_file: Path, tmp_path: Path) -> None:
    secret, key = make_key("forum", ["classify"], created="2026-01-01")
    ApiKeys([key]).save(tmp_path / "keys.json")
    auth = AuthSettings(mode="any", keys_file=str(tmp_path / "keys.json"), jwt=settings_with(key_file))
    client = create_app(Settings(auth=auth), classifier=FakeClassifier()).test_client()

    def status(**headers: str) -> int:
        return client.post("/classify", json=TEXT, headers=headers).status_code

    assert status(Authorization=f"Bearer {secret}") == 200
    assert status(Authorization=f"Bearer {token()}") == 200
    assert status(**{"X-API-Key": secret}) == 200
    assert status(**{"X-API-Key": token()}) == 401, "tokens are bearer tokens"
    assert status(Authorization=f"Bearer {secret[:-1]}x") == 401
    assert status() == 401
    # Only the first credential counts: another one does not make up for an invalid one.
    assert status(Authorization=f"Bearer {unsigned('none')}", **{"X-API-Key": secret}) == 401


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": None}, "auth.jwt.issuer: missing"),
        ({"audience": None}, "auth.jwt.audience: missing"),
        ({"public_key_file": None}, "auth.jwt: needs either public_key_file or jwks_url"),
        ({"jwks_url": "https://id.example/"}, "auth.jwt: needs either public_key_file or jwks_url"),
        ({"algorithms": []}, "auth.jwt.algorithms: at least one is needed"),
        ({"public_key_file": "/nowhere"}, "auth.jwt.public_key_file: /nowhere cannot be read"),
        ({"public_key_file": None, "jwks_url": "http://id.example/"}, "auth.jwt.jwks_url: must be https"),
        (
            {"public_key_file": None, "jwks_url": "file:///etc/passwd"},
            "must be an http or https URL with a host",
        ),
        ({"public_key_file": None, "jwks_url": "https://a:b@id.example/"}, "must not carry credentials"),
    ],
)
def test_what_is_missing_is_named(changes: Mapping[str, Any], message: str, key_file: Path) -> None:
    auth = AuthSettings(mode="jwt", jwt=replace(settings_with(key_file), **changes))
    with pytest.raises(ConfigurationError, match="auth") as raised:
        build_authenticator(auth)
    assert message in str(raised.value)


def test_symmetric_algorithms_cannot_be_set() -> None:
    for name in ("HS256", "none"):
        with pytest.raises(ConfigurationError, match=r"auth\.jwt\.algorithms\.0: Must be one of"):
            load_settings({"MODERATOR__AUTH__JWT__ALGORITHMS": f"[{name}]"})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(b"no key", "is not a public key in PEM", id="no PEM"),
        pytest.param(
            RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "is not a public key in PEM",
            id="a private key",
        ),
        pytest.param(pem(rsa.generate_private_key(65537, 1024)), "RSA of 2048 bits or more", id="short"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), "EC P-256 or Ed25519", id="another curve"),
    ],
)
def test_key_that_is_not_good_is_refused(key: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(key)
    with pytest.raises(ConfigurationError, match=message):
        build_verifier(settings_with(path))


def published(*keys: tuple[str, Any, str], **changes: Any) -> bytes:
    """A key set: (kid, private key, algorithm)."""
    entries = [
        jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True) | {"kid": kid} | changes
        for kid, key, algorithm in keys
    ]
    return json.dumps({"keys": entries}).encode()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def failed_fetches() -> float:
    return metrics.KEY_SET_FETCHES.labels("failed")._value.get()  # type: ignore[no-any-return]


class Provider:
    """Publishes keys; counts how often it is asked."""

    def __init__(self, body: bytes | Exception) -> None:
        self.body = body
        self.asked = 0
        self.now = 1000.0
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> bytes:
        self.asked += 1
        self.gate.wait(10)
        if isinstance(self.body, Exception):
            raise self.body
        return self.body

    def keys(self, **changes: Any) -> PublishedKeys:
        values: dict[str, Any] = {"jwks_url": "https://id.example/keys", "timeout_seconds": 5} | changes
        return PublishedKeys(settings_with(**values), fetch=self.fetch, clock=lambda: self.now)


def test_published_keys_are_fetched_once_and_changed_at_need() -> None:
    provider = Provider(published(("a", RSA, "RS256"), ("b", EC, "ES256")))
    keys = provider.keys()
    for _ in range(50):
        assert keys.key("a", "RS256")
        assert keys.key("b", "ES256")
        assert keys.key(None, "ES256"), "the only one of its kind"
    assert provider.asked == 1
    with pytest.raises(CredentialsInvalidError):
        keys.key("a", "ES256")
    provider.body = published(("c", OTHER_RSA, "RS256"))
    provider.now += 31
    assert keys.key("c", "RS256"), "a new key is fetched when a token names it"
    assert provider.asked == 2
    with pytest.raises(CredentialsInvalidError):
        keys.key("a", "RS256")


def test_made_up_names_fetch_nothing() -> None:
    provider = Provider(published(("a", RSA, "RS256")))
    keys = provider.keys()
    for number in range(500):
        with pytest.raises(CredentialsInvalidError):
            keys.key(f"made up {number}", "RS256")
    assert provider.asked == 1
    provider.now += 31
    for number in range(500):
        with pytest.raises(CredentialsInvalidError):
            keys.key(f"made up {number}", "RS256")
    assert provider.asked == 2


def test_provider_that_is_away() -> None:
    provider = Provider(OSError())
    keys = provider.keys()
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("a", "RS256")
    provider.body = published(("a", RSA, "RS256"))
    provider.now += 31
    assert keys.key("a", "RS256")
    provider.body = OSError()
    provider.now += 7200
    assert keys.key("a", "RS256"), "what was known stays good for a while"
    wait_until(lambda: provider.asked == 3)
    provider.now += jwks.MAX_STALE_SECONDS
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("a", "RS256")


def test_old_keys_are_renewed_while_nobody_waits() -> None:
    provider = Provider(published(("a", RSA, "RS256")))
    keys = provider.keys()
    keys.key("a", "RS256")
    provider.now += 3601
    provider.gate.clear()
    assert keys.key("a", "RS256")
    wait_until(lambda: provider.asked == 2)
    provider.gate.set()


def test_many_who_wait_fetch_once() -> None:
    provider = Provider(published(("a", RSA, "RS256")))
    provider.gate.clear()
    keys = provider.keys()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(keys.key("a", "RS256"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: provider.asked == 1)
    provider.gate.set()
    for thread in threads:
        thread.join(10)
    assert (len(found), provider.asked) == (20, 1)


def test_who_comes_late_does_not_wait_as_long_again() -> None:
    """Otherwise a provider that hangs, and tokens with invented key ids, would block every thread."""
    provider = Provider(published(("a", RSA, "RS256")))
    provider.gate.clear()
    keys = provider.keys(timeout_seconds=60)
    keys._refresh(wait=False)
    wait_until(lambda: provider.asked == 1)
    provider.now += 60
    started = time.monotonic()
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("made up", "RS256")
    assert time.monotonic() - started < 5
    assert provider.asked == 1, "it is still on its way"
    provider.gate.set()
    wait_until(lambda: keys._known("a", "RS256") is not None)


def test_fetch_that_never_ends_holds_nobody_up() -> None:
    provider = Provider(published(("a", RSA, "RS256")))
    provider.gate.clear()
    keys = provider.keys(timeout_seconds=0.05)
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("a", "RS256")
    provider.now += 31
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("a", "RS256")
    assert provider.asked == 2, "the first is given up for lost"
    provider.gate.set()
    wait_until(lambda: keys._known("a", "RS256") is not None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"keys": {}}', id="no list"),
        pytest.param(b'{"keys": []}', id="no keys"),
        pytest.param(b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}', id="symmetric"),
        pytest.param(published(("a", RSA, "RS256"), use="enc"), id="for encryption"),
    ],
)
def test_key_set_that_is_none(body: bytes) -> None:
    provider = Provider(body)
    with pytest.raises((IdentityProviderUnavailableError, CredentialsInvalidError)):
        provider.keys().key("a", "RS256")


def kids(body: bytes) -> list[str | None]:
    return [key.key_id for key in read_keys(body)]


ODD_KEYS = {
    "algorithm none": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "none", "kid": "x"},
    "unknown algorithm": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "XX999", "kid": "x"},
    "a list as kid": json.loads(published(("a", RSA, "RS256")))["keys"][0] | {"kid": ["a"]},
    "an object as kid": json.loads(published(("a", RSA, "RS256")))["keys"][0] | {"kid": {}},
    "a number as kid": json.loads(published(("a", RSA, "RS256")))["keys"][0] | {"kid": 7},
    "no kind": {"kid": "x"},
    "a kind that is a list": {"kty": [], "kid": "x"},
    "an algorithm that is a list": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": [], "kid": "x"},
    "unknown curve": {"kty": "EC", "crv": "P-1", "x": "AQAB", "y": "AQAB", "kid": "x"},
    "a point off the curve": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43, "kid": "x"},
    "numbers for coordinates": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2, "kid": "x"},
    "not base64": {"kty": "RSA", "n": "\u00e9", "e": "AQAB", "alg": "RS256", "kid": "x"},
    "no modulus": {"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "x"},
    "even modulus": {"kty": "RSA", "n": "A" * 400, "e": "AQAB", "alg": "RS256", "kid": "x"},
    "OKP without x": {"kty": "OKP", "crv": "Ed25519", "kid": "x"},
    "a use that is a list": {"kty": "RSA", "use": ["sig"], "kid": "x"},
    "a text": "key",
    "nothing": None,
    "a list": [[]],
}


@pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=list(ODD_KEYS))
def test_an_odd_key_takes_nothing_from_the_others(odd: object) -> None:
    sound = json.loads(published(("a", RSA, "RS256"), ("b", EC, "ES256")))["keys"]
    for keys in ([odd, *sound], [*sound, odd], [sound[0], odd, sound[1]]):
        assert kids(json.dumps({"keys": keys}).encode()) == ["a", "b"]


def test_one_id_may_name_a_key_of_each_kind() -> None:
    keys = Provider(published(("a", RSA, "RS256"), ("a", EC, "ES256"))).keys()
    assert keys.key("a", "RS256") != keys.key("a", "ES256")


def test_an_empty_set_withdraws_all_keys() -> None:
    provider = Provider(published(("a", RSA, "RS256")))
    keys = provider.keys()
    assert keys.key("a", "RS256")
    provider.body = b'{"keys": []}'
    provider.now += 3601
    keys.key("a", "RS256")
    wait_until(lambda: keys._known("a", "RS256") is None)
    with pytest.raises(CredentialsInvalidError):
        keys.key("a", "RS256")


def test_keys_of_other_kinds_are_left_out() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert kids(published(("a", RSA, "RS256"), ("weak", weak, "RS256"))) == ["a"]
    symmetric = json.loads(published(("a", RSA, "RS256")))
    symmetric["keys"].append({"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"})
    assert kids(json.dumps(symmetric).encode()) == ["a"]


def test_keys_over_http(upstream: FaultServer, tmp_path: Path) -> None:
    """The real service and a real provider: its keys change while the service runs."""
    upstream.play(Step(body=published(("a", RSA, "RS256"))))
    variables = {
        "MODERATOR__AUTH__MODE": "jwt",
        "MODERATOR__AUTH__JWT__ISSUER": ISSUER,
        "MODERATOR__AUTH__JWT__AUDIENCE": AUDIENCE,
        "MODERATOR__AUTH__JWT__JWKS_URL": f"{upstream.url}keys",
        "MODERATOR__AUTH__JWT__JWKS_PAUSE_SECONDS": "1",
    }
    with serving(tmp_path / "log", variables, workers=1) as live:

        def status(presented: str) -> int:
            headers = {"Authorization": f"Bearer {presented}"}
            return requests.post(f"{live.url}/classify", json=TEXT, headers=headers, timeout=20).status_code

        assert status(token(headers={"kid": "a"})) == 200
        assert status(token(OTHER_RSA, headers={"kid": "b"})) == 401
        upstream.play(Step(body=published(("b", OTHER_RSA, "RS256"))))
        wait_until(lambda: status(token(OTHER_RSA, headers={"kid": "b"})) == 200)
        assert status(token(headers={"kid": "a"})) == 401
        assert '"tenant":"forum"' in live.output


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Step(status=302, headers=(("Location", "http://127.0.0.1:9/"),)), id="redirect"),
        pytest.param(Step(status=500, body=b"{}"), id="500"),
        pytest.param(Step(status=200, body=b"x" * 300_000), id="too large"),
        pytest.param(Step(status=200, body=b"x" * 3000, cut_at=200), id="cut short"),
        pytest.param(Step(cut_at=0), id="closed at once"),
        pytest.param(Step(cut_at=0, reset=True), id="reset"),
        pytest.param(Step(raw=CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n"), id="chunk of a negative size"),
        pytest.param(Step(raw=CHUNKED + b"5\r\nab", cut_at=80), id="chunks cut short"),
        pytest.param(Step(raw=b"what\r\n\r\n"), id="not HTTP"),
        pytest.param(Step(status=200, body=b"[" * 100_000), id="deep"),
        pytest.param(Step(status=200, body=b"\xff\xfe{"), id="not JSON"),
    ],
)
def test_provider_that_answers_badly(step: Step, upstream: FaultServer) -> None:
    """It is counted and logged, and no request waits for the time-out."""
    upstream.play(step)
    before = failed_fetches()
    keys = PublishedKeys(settings_with(jwks_url=upstream.url, timeout_seconds=5))
    with pytest.raises(IdentityProviderUnavailableError):
        keys.key("a", "RS256")
    assert len(upstream.received) == 1
    assert failed_fetches() == before + 1
