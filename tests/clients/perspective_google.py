"""Uses the service by Google's discovery client, as Perspective's users do, and prints what it saw."""

import json
import sys
from typing import Any

from googleapiclient import discovery, errors


def analyze(url: str) -> dict[str, Any]:
    """Score a comment, and ask for what is not scored."""
    client = discovery.build(
        "commentanalyzer",
        "v1alpha1",
        developerKey="AIza-made-up",
        discoveryServiceUrl=f"{url}/$discovery/rest?version=v1alpha1",
        static_discovery=False,
    )
    body: dict[str, Any] = {
        "comment": {"text": "Good day to you. You are such a pathetic idiot."},
        "requestedAttributes": {"TOXICITY": {}, "INSULT": {"scoreThreshold": 0.5}},
        "spanAnnotations": True,
        "languages": ["en"],
        "doNotStore": True,
        "clientToken": "mine",
    }
    answer = client.comments().analyze(body=body).execute()
    try:
        client.comments().analyze(body=body | {"requestedAttributes": {"FLIRTATION": {}}}).execute()
    except errors.HttpError as error:
        refused = {"status": error.status_code, "reason": error.reason, "details": error.error_details}
    return {"answer": answer, "refused": refused}


if __name__ == "__main__":
    print(json.dumps(analyze(sys.argv[1])))
