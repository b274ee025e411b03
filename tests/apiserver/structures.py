"""Schemas of CRDs that are not structural, and the answers of a kube-apiserver: `tests/data/structures-1.36.json`.

python -m tests.apiserver.structures      # asks a real kube-apiserver, and writes the file
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    import aiohttp

KEPT = DATA / "structures-1.36.json"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

TEXT: Final = {"type": "string"}
FREE: Final = {"x-kubernetes-preserve-unknown-fields": True}
OBJECT: Final[dict[str, Any]] = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}}


def _listed(kind: str, items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "x-kubernetes-list-type": kind, "items": items} | more


def _keyed(properties: Any, keys: list[str], **more: Any) -> dict[str, Any]:
    items = {"type": "object", "properties": properties} | more
    return _listed("map", items, **{"x-kubernetes-list-map-keys": keys})


FIELDS: Final[dict[str, Any]] = {
    "no type": {},
    "a type in anyOf": TEXT | {"anyOf": [{"type": "string"}, {"pattern": "a"}]},
    "a description in oneOf": TEXT | {"oneOf": [{"description": "a"}, {"pattern": "a"}]},
    "a title in not": TEXT | {"not": {"title": "a", "pattern": "b"}},
    "a default in allOf": TEXT | {"allOf": [{"default": "a"}]},
    "nullable in allOf": TEXT | {"allOf": [{"nullable": True}]},
    "an extension in allOf": TEXT | {"allOf": [{"x-kubernetes-int-or-string": True}]},
    "unknown fields in allOf": OBJECT | {"allOf": [FREE]},
    "an embedded resource in allOf": OBJECT | {"allOf": [{"x-kubernetes-embedded-resource": True}]},
    "a list type in allOf": _listed("atomic", TEXT, allOf=[{"x-kubernetes-list-type": "set"}]),
    "list keys in allOf": _listed("atomic", TEXT, allOf=[{"x-kubernetes-list-map-keys": ["a"]}]),
    "a map type in allOf": OBJECT | {"allOf": [{"x-kubernetes-map-type": "atomic"}]},
    "rules in allOf": OBJECT | {"allOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]},
    "rules in anyOf": OBJECT | {"anyOf": [{"x-kubernetes-validations": [{"rule": "true"}]}]},
    "additional properties in anyOf": OBJECT | {"anyOf": [{"additionalProperties": {"pattern": "a"}}]},
    "free additional properties in anyOf": OBJECT | {"anyOf": [{"additionalProperties": True}]},
    "no additional properties in anyOf": OBJECT | {"anyOf": [{"additionalProperties": False}]},
    "a property only in anyOf": OBJECT | {"anyOf": [{"properties": {"c": {"pattern": "a"}}}]},
    "a property of a property only in allOf": OBJECT
    | {"properties": {"o": OBJECT}, "allOf": [{"properties": {"o": {"properties": {"z": {"minimum": 1}}}}}]},
    "a property in not in anyOf": OBJECT | {"anyOf": [{"not": {"properties": {"d": {"enum": ["a"]}}}}]},
    "items only in oneOf": {"type": "object", "oneOf": [{"items": {"pattern": "a"}}]},
    "a property below additional properties": {
        "type": "object",
        "additionalProperties": TEXT,
        "allOf": [{"properties": {"a": {"pattern": "a"}}}],
    },
    "properties in anyOf that are there": OBJECT
    | {"anyOf": [{"properties": {"a": {"pattern": "a"}}, "required": ["a"]}]},
    "metadata in anyOf": OBJECT | {"properties": {"metadata": OBJECT}, "anyOf": [{"properties": {"metadata": {}}}]},
    "a type in a property in anyOf": OBJECT | {"anyOf": [{"properties": {"a": {"type": "string"}}}]},
    "a number or text": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
    "a text or number": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "string"}, {"type": "integer"}]},
    "a number or text in allOf": {
        "x-kubernetes-int-or-string": True,
        "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}],
    },
    "a number or text in a second allOf": {
        "x-kubernetes-int-or-string": True,
        "allOf": [{"pattern": "a"}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}],
    },
    "a number or text with more": {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}],
    },
    "a number or text without the mark": {"type": "string", "anyOf": [{"type": "integer"}, {"type": "string"}]},
    "a number or text of a type": TEXT | {"x-kubernetes-int-or-string": True},
    "a number or text with unknown fields": {"x-kubernetes-int-or-string": True} | FREE,
    "a number or text that is embedded": {"x-kubernetes-int-or-string": True, "x-kubernetes-embedded-resource": True},
    "an embedded text": TEXT | {"x-kubernetes-embedded-resource": True},
    "an embedded value without type": FREE | {"x-kubernetes-embedded-resource": True},
    "an embedded object without properties": {"type": "object", "x-kubernetes-embedded-resource": True},
    "an embedded object": {"type": "object", "x-kubernetes-embedded-resource": True} | FREE,
    "an embedded object with additional properties": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "additionalProperties": TEXT,
    },
    "an embedded object with another kind": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"kind": {"type": "integer"}, "apiVersion": {"type": "integer"}, "metadata": TEXT},
    },
    "no unknown fields": OBJECT | {"x-kubernetes-preserve-unknown-fields": False},
    "properties and free additional ones": OBJECT | {"additionalProperties": True},
    "properties and no additional ones": OBJECT | {"additionalProperties": False},
    "properties and additional ones": OBJECT | {"additionalProperties": TEXT},
    "no additional properties": {"type": "object", "additionalProperties": False},
    "a list without items": {"type": "array"},
    "a list of lists without items": {"type": "array", "items": {"type": "array"}},
    "a list with items of no type": {"type": "array", "items": {}},
    "a type that is none": {"type": "text"},
    "null": {"type": "null"},
    "unique items": {"type": "array", "items": TEXT, "uniqueItems": True},
    "unique items in allOf": {"type": "array", "items": TEXT, "allOf": [{"uniqueItems": True}]},
    "a map type of a text": TEXT | {"x-kubernetes-map-type": "atomic"},
    "a map type of nothing": FREE | {"x-kubernetes-map-type": "atomic"},
    "a map type that is none": OBJECT | {"x-kubernetes-map-type": "set"},
    "a list type of a text": TEXT | {"x-kubernetes-list-type": "set"},
    "a list type of nothing": FREE | {"x-kubernetes-list-type": "set"},
    "a list type that is none": _listed("bag", TEXT),
    "a set of objects": _listed("set", OBJECT),
    "a set of granular objects": _listed("set", OBJECT | {"x-kubernetes-map-type": "granular"}),
    "a set of atomic objects": _listed("set", OBJECT | {"x-kubernetes-map-type": "atomic"}),
    "a set of sets": _listed("set", _listed("set", TEXT)),
    "a set of lists": _listed("set", {"type": "array", "items": TEXT}),
    "a set of null": _listed("set", TEXT | {"nullable": True}),
    "a map of texts": _listed("map", TEXT, **{"x-kubernetes-list-map-keys": ["a"]}),
    "a map without keys": _listed("map", OBJECT),
    "a map with a key that is no property": _keyed({"a": TEXT}, ["b"], required=["b"]),
    "a map with a key twice": _keyed({"a": TEXT}, ["a", "a"], required=["a"]),
    "a map with a key that is a list": _keyed({"a": {"type": "array", "items": TEXT}}, ["a"], required=["a"]),
    "a map with a key that is optional": _keyed({"a": TEXT}, ["a"]),
    "a map with a key with a default": _keyed({"a": TEXT | {"default": "x"}}, ["a"]),
    "a map with a key that may be null": _keyed({"a": TEXT | {"nullable": True}}, ["a"], required=["a"]),
    "a map of items that may be null": _keyed({"a": TEXT}, ["a"], required=["a"], nullable=True),
    "keys without a list type": {"type": "array", "items": OBJECT, "x-kubernetes-list-map-keys": ["a"]},
    "keys of a set": _listed("set", TEXT, **{"x-kubernetes-list-map-keys": ["a"]}),
    "a default": TEXT | {"default": "a"},
    "a default of another type": TEXT | {"default": 1},
    "a default out of range": {"type": "integer", "minimum": 1, "default": 0},
    "a default that is no option": TEXT | {"enum": ["a"], "default": "b"},
    "a default with unknown fields": OBJECT | {"default": {"a": "x", "z": 1}},
    "a default without a required field": OBJECT | {"required": ["a"], "default": {}},
    "a default of null": TEXT | {"default": None},
    "a default of null that may be": TEXT | {"nullable": True, "default": None},
    "a default of no format": TEXT | {"format": "ipv4", "default": "x"},
    "a default below a default": OBJECT
    | {"required": ["a"], "properties": {"a": TEXT | {"default": "x"}}, "default": {}},
    "a default in items": {"type": "array", "items": TEXT | {"default": 1}},
    "a default that a rule refuses": {
        "type": "integer",
        "default": 0,
        "x-kubernetes-validations": [{"rule": "self > 0"}],
    },
    "a rule without text": OBJECT | {"x-kubernetes-validations": [{"rule": " "}]},
    "a rule with an empty message": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "message": " "}]},
    "a rule with a message of two lines": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "message": "a\nb"}]},
    "a rule of two lines": OBJECT | {"x-kubernetes-validations": [{"rule": "true\n&& true"}]},
    "a rule with an empty expression": OBJECT
    | {"x-kubernetes-validations": [{"rule": "true", "messageExpression": " "}]},
    "a rule with a reason": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "reason": "Nosuch"}]},
    "a rule with a path to nothing": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "fieldPath": ".z"}]},
    "a rule with a path": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "fieldPath": ".a"}]},
    "a rule with an empty path": OBJECT | {"x-kubernetes-validations": [{"rule": "true", "fieldPath": " "}]},
    "a rule of a change in a list": {
        "type": "array",
        "maxItems": 5,
        "items": TEXT | {"maxLength": 5} | {"x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
    },
    "a rule of a change in a map": _keyed(
        {"a": TEXT, "b": TEXT | {"maxLength": 5, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}},
        ["a"],
        required=["a"],
    )
    | {"maxItems": 5},
    "a rule that may lack an old value": OBJECT
    | {"x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": True}]},
}
"""Schemas of a field."""

PATTERNS: Final = (
    *("(", ")", "[a", "a**", "*a", "a{2,1}", "a{1001}", "a\\", "\\1", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?P<n>a)"),
    *("(?<n>a)", "[z-a]", "\\p{Greek}", "\\pL", "a++", "a?+", "\\k<n>", "(?i)a", "(?x)a", "[[:alpha:]]"),
    *(
        "[[:nosuch:]]",
        "\\Z",
        "\\z",
        "\\_",
        "\\-",
        "\\y",
        "(?>a)",
        "a{,2}",
        "{",
        "a|*",
        "[]",
        "\\Qa(\\E",
        "(?P<n>a)(?P<n>b)",
    ),
    *(
        "(?#a)",
        "(a",
        "a)",
        "[^",
        "\\x{110000}",
        "\\xZ",
        "((a)",
        "(?P<>a)",
        "(?",
        "a{2}{3}",
        "a{1000}{1000}",
        "\\C",
        "\\8",
    ),
)
"""Patterns of a field, some of which Go cannot read."""

ROOTS: Final[dict[str, Any]] = {
    "a list at the root": {"type": "array", "items": TEXT},
    "no type at the root": {"properties": {"a": TEXT}},
    "no type at the root, but unknown fields": FREE,
    "null at the root": {"type": "object", "nullable": True},
    "additional properties at the root": {"type": "object", "additionalProperties": TEXT},
    "free additional properties at the root": {"type": "object", "additionalProperties": True},
    "the kind as a number": {"type": "object", "properties": {"kind": {"type": "integer"}}},
    "the metadata as a text": {"type": "object", "properties": {"metadata": TEXT}},
    "a pattern of the name": {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"name": TEXT | {"pattern": "a"}}}},
    },
    "a label": {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
    },
    "a description of the metadata": {
        "type": "object",
        "properties": {"metadata": {"type": "object", "description": "a"}},
    },
    "a default of the metadata": {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"name": TEXT | {"default": "a"}}}},
    },
    "a default at the root": {"type": "object", "default": {}},
    "a property only in anyOf at the root": OBJECT | {"anyOf": [{"properties": {"c": {"pattern": "a"}}}]},
    "items only in anyOf at the root": OBJECT | {"anyOf": [{"items": {"pattern": "a"}}]},
    "a property of a property only in allOf at the root": {
        "type": "object",
        "properties": {"o": OBJECT},
        "allOf": [{"properties": {"o": {"not": {"properties": {"z": {"minimum": 1}}}}}}],
    },
    "properties in not at the root": OBJECT | {"not": {"properties": {"a": {"pattern": "a"}}, "required": ["a"]}},
    "an enum at the root": {"type": "object", "enum": [{}]},
    "an embedded root": {"type": "object", "x-kubernetes-embedded-resource": True} | FREE,
    "a schema by reference": {"type": "object", "$ref": "#/a"},
    "definitions": {"type": "object", "definitions": {"a": TEXT}},
    "an id": {"type": "object", "id": "a"},
}
"""Whole schemas."""


def crd(schema: Any, **subresources: Any) -> dict[str, Any]:
    """Return a CRD with a schema."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "schemas.structures.example.com"},
        "spec": {
            "group": "structures.example.com",
            "scope": "Namespaced",
            "names": {"plural": "schemas", "singular": "schema", "kind": "Schema"},
            "versions": [version | ({"subresources": subresources} if subresources else {})],
        },
    }


def cases() -> dict[str, dict[str, Any]]:
    """Return the CRDs by title."""
    fields = {title: {"type": "object", "properties": {"f": field}} for title, field in FIELDS.items()}
    patterns = {f"pattern {one}": {"type": "object", "properties": {"f": TEXT | {"pattern": one}}} for one in PATTERNS}
    whole = {title: crd(schema) for title, schema in (fields | patterns | ROOTS).items()}
    return whole | {f"{title}, with a status": crd(schema, status={}) for title, schema in ROOTS.items()}


async def answers(http: aiohttp.ClientSession) -> dict[str, list[str]]:
    """Send each CRD, without keeping it; return the texts of its refusal in order."""
    found = {}
    for title, body in cases().items():
        async with http.post(f"{CRDS}?dryRun=All", json=body) as response:
            answer = await response.json()
        causes = answer.get("details", {}).get("causes", [])
        texts = (f"{cause['field']}: {cause['message']}" for cause in causes)
        # Go shows the whole schema in its own form.
        found[title] = sorted(re.sub(r"Invalid value: \{.*\}: only", "Invalid value: only", text) for text in texts)
        if response.status >= 300 and not causes:
            found[title] = [answer["message"]]
    return found


async def record() -> None:
    async with real_server() as (_, http):
        found = await answers(http)
    KEPT.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(record())
