"""CustomResourceDefinitions of well-known operators, fetched as Go modules, and random objects for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

__all__ = ["MODULES", "changed", "definitions", "sample"]

MODULES: Final = {
    "sigs.k8s.io/gateway-api@v1.3.0": "config/crd/standard/*.yaml",
    "github.com/cert-manager/cert-manager@v1.18.2": "deploy/crds/*.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.84.0": "example/prometheus-operator-crd/*.yaml",
    "github.com/kedacore/keda/v2@v2.17.2": "config/crd/bases/*.yaml",
    "github.com/external-secrets/external-secrets@v0.18.2": "config/crds/bases/*.yaml",
    "github.com/argoproj/argo-rollouts@v1.8.3": "manifests/crds/*-crd.yaml",
    "sigs.k8s.io/cluster-api@v1.10.4": "config/crd/bases/*.yaml",
}
"""The modules, and the files in each."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads "=", which is an operator in some enums, as a text."""


def _text(loader: Any, node: Any) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def definitions() -> list[dict[str, Any]]:
    """Fetch the modules, and return their CRDs, sorted by name; none without Go or without a module proxy."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    found: dict[str, dict[str, Any]] = {}
    for module, pattern in MODULES.items() if go else ():
        done = subprocess.run(
            [str(go), "mod", "download", "-json", module], capture_output=True, text=True, check=False, timeout=300
        )
        folder = json.loads(done.stdout or "{}").get("Dir")
        for path in sorted(Path(folder).glob(pattern)) if folder else ():
            for manifest in yaml.load_all(path.read_text(encoding="utf-8"), _Loader):
                if manifest and manifest.get("kind") == "CustomResourceDefinition":
                    # No webhook converts here; the server then changes nothing but `apiVersion`.
                    manifest["spec"].pop("conversion", None)
                    manifest.pop("status", None)
                    # Some are templates of a chart.
                    approved = {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1111"}
                    manifest["metadata"] = {"name": manifest["metadata"]["name"], "annotations": approved}
                    found[manifest["metadata"]["name"]] = manifest
    return [found[name] for name in sorted(found)]


def sample(schema: dict[str, Any], rng: random.Random, depth: int = 0) -> Any:
    """Return a random value of the types of a schema. Patterns, formats and rules may refuse it."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return rng.choice([1, "10%", "1"])
    match schema.get("type"):
        case "object":
            return _object(schema, rng, depth)
        case "array":
            least = schema.get("minItems", 0)
            return [sample(schema.get("items", {}), rng, depth + 1) for _ in range(rng.randint(least, least + 1))]
        case "string":
            formats = {"date-time": "2026-01-02T03:04:05Z", "duration": "10s", "byte": "YQ=="}
            plain = rng.choice(["a", "web-0", "Ready", "10s", "1Gi", "https://a.example", "True"])
            return formats.get(schema.get("format", ""), plain).ljust(schema.get("minLength", 0), "a")
        case "integer":
            return rng.choice([schema.get("minimum", 1), min(8080, schema.get("maximum", 8080))])
        case "number":
            return 1.5
        case "boolean":
            return rng.random() < 0.5
    return {"any": "thing"}


def _object(schema: dict[str, Any], rng: random.Random, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    chance = 0.35 / (1 + depth)
    made = {
        name: sample(each, rng, depth + 1)
        for name, each in properties.items()
        if name in required or rng.random() < chance
    }
    if not properties and isinstance(more := schema.get("additionalProperties"), dict):
        made["key"] = sample(more, rng, depth + 1)
    return made


def changed(manifest: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a copy with one random change: another type, a missing or an unknown field, a null."""
    made: dict[str, Any] = json.loads(json.dumps(manifest))
    places = [
        place
        for name, part in made.items()
        if name not in {"apiVersion", "kind", "metadata"}
        for place in _places(part)
    ]
    if not places:
        return made
    parent, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent["unknownField"] = 1
    else:
        parent[key] = [None, "", -1, {"x": "y"}, ["a", "a"], "x" * 300][kind if kind < 6 else 0]
    return made


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in [*items]:
        yield value, key
        yield from _places(each)
