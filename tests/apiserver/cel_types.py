"""Expressions of policies and CRDs, and why a kube-apiserver refuses them: `tests/data/cel-types-1.36.json` keeps it.

python -m tests.apiserver.cel_types      # asks a real kube-apiserver about these expressions, and writes the file anew
"""

from __future__ import annotations

import asyncio
import json
import re
from copy import deepcopy
from typing import Any

from tests.apiserver.real_server import real_server
from tests.paths import DATA

KEPT = DATA / "cel-types-1.36.json"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_MUTATED = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_SPEC = {
    "matchConstraints": {
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}]
    },
    "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
    "variables": [{"name": "foo", "expression": "1"}, {"name": "bar", "expression": "object.x"}],
}


def body(sort: str, schema: dict[str, Any], expressions: list[str]) -> dict[str, Any]:
    """Return an object that has some expressions.

    Args:
        sort: "policy" or "rules"; or a type of patch, for a policy that changes objects.
        schema: the schema of the CRD whose rules they are.
        expressions: the expressions.
    """
    if sort == "rules":
        ruled = deepcopy(schema) | {"x-kubernetes-validations": [{"rule": one, "message": "m"} for one in expressions]}
        names = {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ruled}}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "foos.types.example.com"},
            "spec": {"group": "types.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        }
    spec: dict[str, Any]
    kind, spec = "ValidatingAdmissionPolicy", {"validations": [{"expression": one} for one in expressions]}
    if sort in _MUTATED:
        kind = "MutatingAdmissionPolicy"
        mutations = [{"patchType": sort, _MUTATED[sort]: {"expression": one}} for one in expressions]
        spec = {"reinvocationPolicy": "Never", "mutations": mutations}
    metadata = {"name": "types"}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": _SPEC | spec}


def refusals(answer: dict[str, Any], expressions: list[str]) -> dict[str, str]:
    """Return why each expression is refused; "" if it is not."""
    found = dict.fromkeys(expressions, "")
    for cause in (answer.get("details") or {}).get("causes", ()):
        place = re.search(r"(?:validations|mutations)\[(\d+)\]\.(?:rule|\w+\.expression|expression)$", cause["field"])
        # The types of CRDs have a number that changes.
        message = re.sub(
            r"selfType\d*", "selfType", re.sub(r"(?s)^Invalid value: (?=\{).*?\}: (?=[a-z])", "", cause["message"])
        )
        if place and "cost" not in message:
            found[expressions[int(place[1])]] = message
    return found


def path(sort: str) -> str:
    """Return the path to post an object to."""
    if sort == "rules":
        return "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    return f"{_ADMISSION}/{'mutating' if sort in _MUTATED else 'validating'}admissionpolicies"


async def _ask() -> None:
    kept = json.loads(KEPT.read_text())
    async with real_server() as (_, http):
        for sort, known in kept["expressions"].items():
            expressions = [*known]
            sent = body(sort, kept["schema"], expressions)
            async with http.post(path(sort), json=sent, params={"dryRun": "All"}) as answer:
                kept["expressions"][sort] = refusals(await answer.json(), expressions)
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(_ask())
