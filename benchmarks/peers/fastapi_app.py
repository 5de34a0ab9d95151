"""The stack that this service replaces: FastAPI under uvicorn, one requests.post for each request."""

import os
from typing import Any

import requests
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
URL = os.environ["UPSTREAM_URL"]


class Text(BaseModel):
    """The body of a request."""

    text: str


@app.post("/classify")
def classify(body: Text) -> dict[str, Any]:
    """Call the upstream and return its answer; FastAPI runs a plain function in its threads."""
    reply = requests.post(
        URL,
        json={"inputs": body.text, "parameters": {"top_k": 9, "function_to_apply": "softmax"}},
        headers={"Authorization": "Bearer x"},
        timeout=8,
    )
    reply.raise_for_status()
    return {"labels": reply.json()[0]}
