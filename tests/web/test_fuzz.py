"""Requests generated from the API description: all answers are as described."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from content_moderator.app import create_app
from content_moderator.config.settings import Settings
from tests.support.live import Live, serving

CASES = int(os.environ.get("FUZZ_CASES", "15"))
"""For each operation, where there are that many; `make fuzz` asks for more."""

description = create_app(Settings()).test_client().get("/openapi.json").get_json()
schema = schemathesis.openapi.from_dict(description)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(
        tmp_path_factory.mktemp("log") / "log", {"MODERATOR__LOGGING__REQUESTS": "false"}
    ) as running:
        yield running


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
def test_answer_is_as_described(case: schemathesis.Case[Any], live: Live) -> None:
    case.call_and_validate(base_url=live.url)
