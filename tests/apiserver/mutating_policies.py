"""MutatingAdmissionPolicies, and what a kube-apiserver makes of objects by them.

`tests/data/mutating-policies-1.36.json` has both.

python -m tests.apiserver.mutating_policies      # asks a real kube-apiserver, and writes the file anew
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    import aiohttp

KEPT: Final = DATA / "mutating-policies-1.36.json"
NAMESPACE: Final = "mapq"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_NOT_COMPARED: Final = ("uid", "resourceVersion", "creationTimestamp")


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what differs each time."""
    if answer.get("kind") == "Status":
        causes = (answer.get("details") or {}).get("causes")
        return {name: answer.get(name) for name in ("code", "message", "reason")} | {"causes": causes}
    metadata = {name: value for name, value in answer["metadata"].items() if name not in _NOT_COMPARED}
    for entry in metadata.get("managedFields", ()):
        entry.pop("time", None)
    return answer | {"metadata": metadata}


async def asked(http: aiohttp.ClientSession, case: dict[str, Any], *, name: str = "p", waits: bool = False) -> Any:
    """Return what a server makes of the object of a case; a real server needs a moment to see the policy."""
    policy, binding = {"name": name}, {"policyName": name} | case["binding"]
    places = (f"{_ADMISSION}/mutatingadmissionpolicies", f"{_ADMISSION}/mutatingadmissionpolicybindings")
    for place, spec in zip(places, (case["policy"], binding), strict=True):
        async with http.post(place, json={"metadata": policy, "spec": spec}) as answer:
            assert answer.status == 201, await answer.text()
    first = made = None
    for _ in range(14 if waits else 1):
        headers = {"User-Agent": "q/1"}
        async with http.post(case["path"], json=case["body"], params={"dryRun": "All"}, headers=headers) as answer:
            made = plain(await answer.json())
        first = first or made
        if waits and made == first:
            await asyncio.sleep(0.25)
    for place in reversed(places):
        await http.delete(f"{place}/{name}")
    return json.loads(json.dumps(made).replace(f"'{name}'", "'p'"))


async def _ask() -> None:
    cases = json.loads(KEPT.read_text())
    async with real_server() as (_, http):
        await http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        await http.post(accounts, json={"metadata": {"name": "default"}})
        for number, case in enumerate(cases.values()):
            case["answer"] = await asked(http, case, name=f"p{number}", waits=True)
            # The policy before must not be seen any more.
            await asyncio.sleep(0.6)
    lines = (f" {json.dumps(title)}: {json.dumps(case, ensure_ascii=False)}" for title, case in cases.items())
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    asyncio.run(_ask())
