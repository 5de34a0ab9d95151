"""
The discovery document of comments:analyze, which Google's API clients read first.

Source:
    https://developers.google.com/discovery/v1/reference/apis, and for the messages the public reference of
    the Perspective Comment Analyzer API, v1alpha1.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

PATH: Final = "/$discovery/rest"

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_SCORE_TYPE: Final = {"type": "string", "enum": ["SCORE_TYPE_UNSPECIFIED", "PROBABILITY"]}


def discovery_document(root_url: str, attributes: Iterable[str]) -> Mapping[str, Any]:
    """
    Return the discovery document.

    Args:
        root_url: The URL of the service, with a slash at the end.
        attributes: The attributes that are scored.
    """
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "title": "content_moderator, as the Perspective Comment Analyzer API",
        "description": f"Scores {', '.join(attributes)}.",
        "protocol": "rest",
        "rootUrl": root_url,
        "servicePath": "",
        "baseUrl": root_url,
        "basePath": "",
        "batchPath": "batch",
        "parameters": {
            "key": {"type": "string", "location": "query", "description": "An API key."},
            "alt": {"type": "string", "location": "query", "enum": ["json"], "default": "json"},
            "prettyPrint": {"type": "boolean", "location": "query", "default": "true"},
        },
        "resources": {
            "comments": {
                "methods": {
                    "analyze": {
                        "id": "commentanalyzer.comments.analyze",
                        "path": "v1alpha1/comments:analyze",
                        "flatPath": "v1alpha1/comments:analyze",
                        "httpMethod": "POST",
                        "description": "Scores a comment.",
                        "parameters": {},
                        "parameterOrder": [],
                        "request": _reference("AnalyzeCommentRequest"),
                        "response": _reference("AnalyzeCommentResponse"),
                    }
                }
            }
        },
        "schemas": {
            name: {"id": name, "type": "object", "properties": each} for name, each in _SCHEMAS.items()
        },
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": name}


def _map_of(name: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _reference(name)}


def _list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "AnalyzeCommentRequest": {
        "comment": _reference("TextEntry"),
        "context": _reference("Context"),
        "requestedAttributes": _map_of("AttributeParameters"),
        "languages": _list_of(_TEXT),
        "doNotStore": _FLAG,
        "spanAnnotations": _FLAG,
        "dropUnsupportedAttributes": _FLAG,
        "clientToken": _TEXT,
        "sessionId": _TEXT,
        "communityId": _TEXT,
    },
    "AnalyzeCommentResponse": {
        "attributeScores": _map_of("AttributeScores"),
        "languages": _list_of(_TEXT),
        "detectedLanguages": _list_of(_TEXT),
        "clientToken": _TEXT,
    },
    "AttributeParameters": {
        "scoreType": _SCORE_TYPE,
        "scoreThreshold": {"type": "number", "format": "float"},
    },
    "AttributeScores": {
        "summaryScore": _reference("Score"),
        "spanScores": _list_of(_reference("SpanScore")),
    },
    "Context": {"entries": _list_of(_reference("TextEntry"))},
    "Score": {"value": {"type": "number", "format": "float"}, "type": _SCORE_TYPE},
    "SpanScore": {
        "begin": {"type": "integer", "format": "int32"},
        "end": {"type": "integer", "format": "int32"},
        "score": _reference("Score"),
    },
    "TextEntry": {
        "text": _TEXT,
        "type": {"type": "string", "enum": ["TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT"]},
    },
}
