"""Rules in CEL, and the verdicts of a kube-apiserver on them, which `tests/data/cel-1.36.json` keeps.

python -m tests.apiserver.cel_verdicts      # asks a real kube-apiserver about these rules, and writes the file anew
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.apiserver.real_server import real_server
from tests.paths import DATA

KEPT = DATA / "cel-1.36.json"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/cel.example.com/v1/namespaces/default/rules"


def crd(cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a CRD that has a property with a rule for each case, by name."""
    properties = {
        name: case["schema"] | {"x-kubernetes-validations": [{"rule": case["rule"]}]} for name, case in cases.items()
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rules.cel.example.com"},
        "spec": {
            "group": "cel.example.com",
            "scope": "Namespaced",
            "names": {"plural": "rules", "singular": "rule", "kind": "Rule"},
            "versions": [version],
        },
    }


def holder(name: str, value: Any) -> dict[str, Any]:
    """Return an object with a value for the rule of a case."""
    return {"apiVersion": "cel.example.com/v1", "kind": "Rule", "metadata": {"name": "it"}, name: value}


async def verdicts() -> list[dict[str, Any]]:
    """Ask a real server about each case of the file."""
    cases = {f"p{index}": case for index, case in enumerate(json.loads(KEPT.read_text()))}
    async with real_server() as (_, http):

        async def post(path: str, body: Any) -> str:
            async with http.post(path, json=body) as response:
                answer = await response.json()
            return "" if response.status < 300 else str(answer["message"])

        for name, case in cases.items():
            case.pop("refused", None)
            if message := await post(f"{CRDS}?dryRun=All", crd({name: case})):
                case["refused"] = message.partition("].rule: ")[2]
        taken = {name: case for name, case in cases.items() if "refused" not in case}
        await post(CRDS, crd(taken))
        while await post(f"{OBJECTS}?dryRun=All", holder("none", 1)):
            await asyncio.sleep(0.2)
        for name, case in taken.items():
            case["values"] = [
                [value, (await post(f"{OBJECTS}?dryRun=All", holder(name, value))).partition(" is invalid: ")[2]]
                for value, _ in case["values"]
            ]
    return [*cases.values()]


if __name__ == "__main__":
    KEPT.write_text(json.dumps(asyncio.run(verdicts()), indent=1, ensure_ascii=False) + "\n")
