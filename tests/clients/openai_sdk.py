"""Uses the service by OpenAI's Python library, whatever its version, and prints what it saw."""

import asyncio
import json
import sys
from typing import Any

import openai

TEXT = "you are such a pathetic idiot"


def described(error: openai.APIStatusError) -> dict[str, Any]:
    """Give what a client can read of an error."""
    return {
        "class": type(error).__name__,
        "status": error.status_code,
        "code": error.code,
        "param": error.param,
        "type": error.type,
        "request_id": error.request_id,
        "message": error.message,
    }


def refused(client: openai.OpenAI, given: Any) -> dict[str, Any]:
    """Ask for what cannot be answered."""
    try:
        client.moderations.create(input=given)
    except openai.APIStatusError as error:
        return described(error)
    raise AssertionError("it was answered")


async def asynchronously(base_url: str) -> list[bool]:
    """Ask by the asynchronous client."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="x") as client:
        answer = await client.moderations.create(input=[TEXT, "good morning"])
    return [result.flagged for result in answer.results]


def judge(base_url: str) -> dict[str, Any]:
    """Ask in every form, with the answers validated strictly."""
    client = openai.OpenAI(base_url=base_url, api_key="x", _strict_response_validation=True)
    one = client.moderations.create(input=TEXT, model="omni-moderation-latest")
    return {
        "version": openai.__version__,
        "one": one.model_dump(by_alias=True),
        "list": [each.flagged for each in client.moderations.create(input=[TEXT, "good morning"]).results],
        "parts": len(client.moderations.create(input=[{"type": "text", "text": TEXT}] * 2).results),
        "async": asyncio.run(asynchronously(base_url)),
        "empty": refused(client, ""),
        "image": refused(client, [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
    }


def retry(base_url: str) -> dict[str, Any]:
    """Ask a service whose classifier fails at first; tell how often, and how it ended."""
    client = openai.OpenAI(base_url=base_url, api_key="x", max_retries=2)
    try:
        raw = client.moderations.with_raw_response.create(input=TEXT)
    except openai.APIStatusError as error:
        return described(error)
    return {"retries": raw.retries_taken, "flagged": raw.parse().results[0].flagged}


if __name__ == "__main__":
    print(json.dumps({"judge": judge, "retry": retry}[sys.argv[1]](sys.argv[2])))
