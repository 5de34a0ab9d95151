"""The pages and the API's description."""

import re

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate


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


def test_description_tells_the_errors_of_classify(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    responses = document["paths"]["/classify"]["post"]["responses"]
    assert {"200", "400", "413", "415", "422", "502", "503", "504", "default"} <= set(responses)
    reference = responses["503"]["$ref"].rpartition("/")[2]
    assert "application/problem+json" in document["components"]["responses"][reference]["content"]
