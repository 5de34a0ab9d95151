"""The service behind nginx, as deploy/nginx sets it up: real processes, real sockets."""

import contextlib
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from content_moderator.config.settings import HttpSettings
from tests.support.fault_server import unused_port, wait_until
from tests.support.live import Live, serving, talk
from tests.support.nginx import FILES, Nginx, proxying
from tests.support.paths import ROOT

BODY = b'{"text": "hello"}'
OURS = {"type", "title", "status", "code", "detail", "request_id"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    variables = {"MODERATOR__HTTP__TRUSTED_PROXIES": "1"}
    with serving(tmp_path_factory.mktemp("live") / "log", variables) as service:
        yield service


@pytest.fixture(scope="module")
def nginx(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with proxying(tmp_path_factory.mktemp("nginx") / "nginx", live.port) as running:
        yield running


def test_answers_come_through(nginx: Nginx) -> None:
    answer = requests.post(f"{nginx.url}/classify", json={"text": "what a lovely day"}, timeout=20)
    assert (answer.status_code, answer.json()["decision"]) == (200, "allow")
    assert requests.get(f"{nginx.url}/livez", timeout=20).json() == {"status": "ok"}
    assert "<html" in requests.get(f"{nginx.url}/", timeout=20).text


def test_id_of_a_request_goes_all_the_way(nginx: Nginx, live: Live) -> None:
    given = requests.get(f"{nginx.url}/livez", headers={"X-Request-ID": "mine-1"}, timeout=20)
    assert given.headers["X-Request-ID"] == "mine-1"
    made = requests.get(f"{nginx.url}/livez", headers={"X-Request-ID": "not wanted \u00e4"[:10]}, timeout=20)
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["X-Request-ID"])
    ids = ("mine-1", made.headers["X-Request-ID"])
    wait_until(lambda: all(each in nginx.output and each in live.output for each in ids))


def test_metrics_are_closed_to_the_outside(nginx: Nginx, live: Live) -> None:
    outside = requests.get(f"{nginx.url}/metrics", timeout=20)
    assert (outside.status_code, outside.json()["code"]) == (404, "not_found")
    for path in (
        "/metrics/",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/%6detrics",
        "/metrics?x",
        "/METRICS",
    ):
        answer = talk(nginx.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b"content_moderator_" not in answer, path
    assert "classify_total" in requests.get(f"{live.url}/metrics", timeout=20).text


def test_limits_are_those_of_the_service(nginx: Nginx) -> None:
    site = (FILES / "content_moderator.conf").read_text()
    assert "client_max_body_size    1m;" in site
    assert HttpSettings().max_body_bytes == 1024 * 1024
    fitting = b'{"text": "' + b"x" * (HttpSettings().max_body_bytes - 13) + b'" }'
    assert len(fitting) == HttpSettings().max_body_bytes
    headers = {"Content-Type": "application/json"}
    kept = requests.post(f"{nginx.url}/classify", data=fitting, headers=headers, timeout=20)
    assert (kept.status_code, kept.json()["code"]) == (422, "invalid_fields"), "the service's own answer"
    refused = requests.post(f"{nginx.url}/classify", data=fitting + b" ", headers=headers, timeout=20)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


def told(url: str, body: bytes = b"") -> dict[str, Any]:
    """Give an error without its sentences, which name numbers, and phrases, which change with Python."""
    answer = requests.post(url, data=body, timeout=20)
    assert answer.headers["X-Request-ID"] in answer.text
    shown: dict[str, Any] = without(answer.json(), {"detail", "message", "title", "request_id"})
    return shown | {"media type": answer.headers["Content-Type"], "status": answer.status_code}


@pytest.mark.parametrize("path", ["/classify", "/v1/moderations", "/v1alpha1/comments:analyze"])
def test_errors_of_nginx_are_like_the_services(path: str, nginx: Nginx, live: Live) -> None:
    large = b" " * (HttpSettings().max_body_bytes + 1)
    by_nginx = told(f"{nginx.url}{path}", large)
    assert by_nginx["status"] == 413
    assert by_nginx == told(f"{live.url}{path}", large)
    assert requests.post(f"{nginx.url}/classify", data=large, timeout=20).json().keys() == OURS


@pytest.mark.parametrize(
    ("request_", "status", "title"),
    [
        pytest.param(
            b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "URI Too Long", id="line"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"x" * 9000 + b"\r\n\r\n", 400, None, id="header"
        ),
        pytest.param(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
            413,
            "Content Too Large",
            id="body",
        ),
    ],
)
def test_title_is_that_of_the_status(request_: bytes, status: int, title: str | None, nginx: Nginx) -> None:
    answer = talk(nginx.port, request_, half_close=False)
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert problem["status"] == status
    assert title is None or problem["title"] == title


def test_what_nginx_hides_is_not_there_as_anything_else(nginx: Nginx, live: Live) -> None:
    assert told(f"{nginx.url}/metrics") == told(f"{live.url}/nothing")


def without(value: Any, names: set[str]) -> Any:
    """Give a JSON value less the members of these names, wherever they are."""
    if isinstance(value, dict):
        return {name: without(each, names) for name, each in value.items() if name not in names}
    return [without(each, names) for each in value] if isinstance(value, list) else value


def test_service_that_is_gone_is_502_in_the_words_of_each_path(tmp_path: Path) -> None:
    with proxying(tmp_path / "nginx", unused_port()) as running:
        answer = requests.post(f"{running.url}/classify", data=BODY, timeout=20)
        openai = requests.post(f"{running.url}/v1/moderations", data=BODY, timeout=20).json()
        google = requests.post(f"{running.url}/v1alpha1/comments:analyze", data=BODY, timeout=20).json()
    assert (answer.status_code, answer.json()["code"]) == (502, "service_unavailable")
    assert answer.json()["title"] == "Bad Gateway"
    assert answer.headers["Retry-After"] == "1"
    assert (openai["error"]["type"], openai["status"]) == ("server_error", 502)
    assert (google["error"]["status"], google["error"]["code"]) == ("UNAVAILABLE", 502)


def statuses(url: str, *headers: Mapping[str, str]) -> list[int]:
    """Ask once with each of *headers*."""
    return [
        requests.post(f"{url}/classify", json={"text": "hello"}, headers=each, timeout=20).status_code
        for each in headers
    ]


FORGED: list[dict[str, str]] = [
    {},
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-For": "10.0.0.1, 203.0.113.10"},
    {"X-Forwarded-For": "127.0.0.2", "Forwarded": "for=127.0.0.2", "X-Real-IP": "127.0.0.2"},
    {"X-Forwarded-For": "203.0.113.11,"},
    {"Forwarded": "for=203.0.113.12;proto=https"},
    {"X-Forwarded-For": "::1", "Connection": "close, X-Forwarded-For"},
    {"X-Forwarded-For": "unknown"},
]


@pytest.mark.parametrize("hops", [0, 1])
def test_nobody_is_somebody_else_by_saying_so(hops: int, tmp_path: Path) -> None:
    """Whatever the headers say it is one account: by way of nginx if that is believed, directly if not."""
    variables = {"MODERATOR__HTTP__TRUSTED_PROXIES": str(hops), "MODERATOR__LIMITS__RATE": "3/hour"}
    with (
        serving(tmp_path / "log", variables, workers=1) as live,
        proxying(tmp_path / "nginx", live.port) as running,
    ):
        codes = statuses(running.url if hops else live.url, *FORGED)
    assert codes == [200] * 3 + [429] * 5


def test_callers_behind_a_trusted_proxy_are_told_apart(tmp_path: Path) -> None:
    variables = {"MODERATOR__HTTP__TRUSTED_PROXIES": "1", "MODERATOR__LIMITS__RATE": "1/hour"}
    with serving(tmp_path / "log", variables, workers=1) as live:
        said = ("192.0.2.1", "192.0.2.2", "192.0.2.1", "203.0.113.9, 192.0.2.2")
        codes = statuses(live.url, *({"X-Forwarded-For": each} for each in said))
    assert codes == [200, 200, 429, 429], "of a list the last one counts"


def test_callers_behind_a_load_balancer_are_told_apart(tmp_path: Path) -> None:
    """By the lines that docs/deploy.md gives, of which only the load balancer's address is changed."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
    assert found is not None
    assert found[1].count("192.0.2.0/24") == 1
    lines = found[1].replace("192.0.2.0/24", "127.0.0.1")
    variables = {"MODERATOR__HTTP__TRUSTED_PROXIES": "1", "MODERATOR__LIMITS__RATE": "1/hour"}
    with (
        serving(tmp_path / "log", variables, workers=1) as live,
        proxying(tmp_path / "nginx", live.port, more=lines) as running,
    ):
        said = ("203.0.113.1", "203.0.113.2", "203.0.113.1", "198.51.100.7, 203.0.113.2")
        codes = statuses(running.url, *({"X-Forwarded-For": each} for each in said))
    assert codes == [200, 200, 429, 429], "what a caller writes there itself stands further left"


def test_neither_log_holds_text_or_query(nginx: Nginx, live: Live) -> None:
    requests.post(f"{nginx.url}/classify?message=canary-words", timeout=20)
    requests.post(f"{nginx.url}/classify", json={"text": "canary-words"}, timeout=20)
    requests.get(f"{nginx.url}/canary-words", headers={"Referer": "canary-words"}, timeout=20)
    talk(nginx.port, b"POST /classify?message=canary-words HTTP/9.9\r\n\r\n")
    talk(nginx.port, b"POST /classify?message=canary-words HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n")
    requests.post(f"{nginx.url}/classify", data=b"canary-words" * 100_000, timeout=20)
    wait_until(lambda: nginx.output.count('"status":413') >= 1)
    assert "canary-words" not in nginx.output
    assert "canary-words" not in live.output


def test_no_banner_tells_what_runs(nginx: Nginx, live: Live) -> None:
    for path in ("/livez", "/nothing", "/metrics"):
        assert requests.get(f"{nginx.url}{path}", timeout=20).headers["Server"] == "nginx", (
            "without its version"
        )
        assert "Server" not in requests.get(f"{live.url}{path}", timeout=20).headers


def test_http2_and_tls(live: Live, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    (tmp_path / "fullchain.pem").write_bytes(chain)
    certificate.private_key_pem.write_to_path(str(tmp_path / "privkey.pem"))
    with proxying(tmp_path / "nginx", live.port, tls=tmp_path) as running:
        ca = str(tmp_path / "ca.pem")
        answer = requests.post(f"{running.url}/classify", json={"text": "hello"}, verify=ca, timeout=20)
        assert answer.status_code == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=15768000"
        discovery = f"{running.url}/$discovery/rest?version=v1alpha1"
        root = requests.get(discovery, verify=ca, timeout=20).json()["rootUrl"]
        assert root.startswith("https://"), "the service knows by what scheme it was asked"
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", running.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.selected_alpn_protocol() == "h2"


def test_slow_senders_are_let_go(nginx: Nginx) -> None:
    """One that falls silent is let go."""
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=20) as connection:
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        started = time.monotonic()
        # By a reset (reset_timedout_connection), which leaves nothing behind.
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65536) == b""
    assert 5 < time.monotonic() - started < 15
