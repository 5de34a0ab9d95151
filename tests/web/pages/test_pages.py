"""The pages and the API's description."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from content_moderator.domain.errors import answerable_errors


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_page_loads_only_what_the_service_itself_serves(path: str, client: FlaskClient) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.content_type.startswith("text/html")
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|style=", response.text), "nothing inline"
    links = re.findall(r'(?:src|href)="([^"]+)"', response.text)
    assert links
    for link in links:
        if not link.startswith("data:"):
            assert link.startswith("/"), f"{link} is elsewhere"
            with client.get(link) as answer:
                assert answer.status_code == 200, link


def test_policy_forbids_foreign_and_inline_scripts(client: FlaskClient) -> None:
    for path in ("/", "/docs", "/livez", "/nothing"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
    assert client.get("/livez").headers["Cache-Control"] == "no-store"
    with client.get("/static/page.js") as script:
        assert "max-age" in script.headers["Cache-Control"]


def test_description_is_valid_openapi(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert {"/classify", "/healthcheck", "/livez", "/readyz", "/metrics"} <= set(document["paths"])


def test_description_knows_every_route(client: FlaskClient) -> None:
    """Whatever answers is described, pages for people excepted."""
    document = client.get("/openapi.json").get_json()
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    for rule in client.application.url_map.iter_rules():
        if rule.endpoint.startswith(("pages.", "api-docs.")):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (rule.rule, method) in described


def test_description_shows_an_example_of_every_error(client: FlaskClient) -> None:
    """Every stable code is there, in the shape and with the status that its path has."""
    document = client.get("/openapi.json").get_json()
    for path, shape in [("/classify", "problem+json"), ("/v1/moderations", "json")]:
        responses = document["paths"][path]["post"]["responses"]
        codes = set()
        for status in responses.keys() - {"200", "default"}:
            [(media_type, content)] = responses[status]["content"].items()
            assert media_type == f"application/{shape}"
            codes |= {
                example["value"]["code"]
                for example in content["examples"].values()
                if example["value"]["status"] == int(status)
            }
        assert codes == {error.code for error in answerable_errors()} | {"bad_request", "internal_error"}


def test_examples_fit_their_schemas(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    schemas = document["components"]["schemas"]
    for path in ("/classify", "/classify/batch", "/v1/moderations", "/v1alpha1/comments:analyze"):
        assert "example" in document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        for response in document["paths"][path]["post"]["responses"].values():
            for content in response["content"].values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                examples = [each["value"] for each in content.get("examples", {}).values()]
                for example in [*examples, *([content["example"]] if "example" in content else [])]:
                    Draft202012Validator({"components": {"schemas": schemas}} | schemas[name]).validate(
                        example
                    )


def test_files_are_compressed_once_for_all_clients(
    embedded_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = gzip.compress

    def compress(data: bytes, **more: int) -> bytes:
        calls.append(len(data))
        return real(data, **more)

    monkeypatch.setattr(gzip, "compress", compress)
    plain = embedded_client.get("/static/swagger-ui-bundle.js", headers={"Accept-Encoding": "identity"})
    for _ in range(3):
        packed = embedded_client.get("/static/swagger-ui-bundle.js", headers={"Accept-Encoding": "gzip, br"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert gzip.decompress(packed.data) == plain.data
    assert len(calls) <= 1
    again = embedded_client.get(
        "/static/swagger-ui-bundle.js",
        headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]},
    )
    assert again.status_code == 304


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            if key == "$ref":
                yield below.rpartition("/")[2]
            else:
                yield from references(below)
    elif isinstance(value, list):
        for below in value:
            yield from references(below)


def test_clients_can_be_generated_from_the_description(client: FlaskClient) -> None:
    """Each operation has a name, every schema is used, and the body of /classify is typed."""
    document = client.get("/openapi.json").get_json()
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names)) == 11
    assert document["servers"][0]["url"] == "/"
    schemas = document["components"]["schemas"]
    used = set(references(document["paths"]))
    while more := {name for each in used for name in references(schemas[each])} - used:
        used |= more
    assert used == set(schemas)
    assert "x-limit" not in json.dumps(document)
    body = document["paths"]["/classify"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    [name] = references(body)
    for member, each in zip(("text", "message"), references(schemas[name]), strict=True):
        typed = schemas[each]
        assert typed["type"] == "object"
        assert typed["required"] == [member]
        assert typed["properties"].keys() == {member, "spans", "explain"}
        assert typed["properties"][member]["type"] == "string"
        assert typed["properties"][member]["maxLength"] == 20_480
        assert typed["additionalProperties"] is False
