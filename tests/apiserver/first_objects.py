"""The objects that a real kube-apiserver makes at its first start: the embedded server has the same.

python -m tests.apiserver.first_objects      # asks a real kube-apiserver, and writes the files
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Final

import aiohttp

from kinformer._connector import Connector
from kinformer.testing import ControlPlane
from kinformer.testing._apiserver.rules.first_objects import OBJECTS, ROLES

RBAC: Final = "rbac.authorization.k8s.io/v1"
FLOWS: Final = "flowcontrol.apiserver.k8s.io/v1"
OF_CONTROLLERS: Final = "system:controller:"
KEPT: Final = ("name", "namespace", "labels", "annotations")
KINDS: Final = {
    ROLES: (
        (RBAC, "ClusterRole", "clusterroles"),
        (RBAC, "ClusterRoleBinding", "clusterrolebindings"),
        (RBAC, "Role", "roles"),
        (RBAC, "RoleBinding", "rolebindings"),
    ),
    OBJECTS: (
        ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
        (FLOWS, "PriorityLevelConfiguration", "prioritylevelconfigurations"),
        (FLOWS, "FlowSchema", "flowschemas"),
        ("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs"),
    ),
}


def first(api: str, kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """An object without what a server adds to it."""
    metadata = {name: found["metadata"][name] for name in KEPT if name in found["metadata"]}
    for condition in (found.get("status") or {}).get("conditions") or ():
        condition.pop("lastTransitionTime", None)
    return {**found, "apiVersion": api, "kind": kind, "metadata": metadata}


async def recorded(kinds: tuple[tuple[str, str, str], ...]) -> list[dict[str, Any]]:
    """Return the objects of a new server, without the roles of controllers."""
    objects: list[dict[str, Any]] = []
    async with ControlPlane() as plane:
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        headers = {"Authorization": f"Bearer {plane.token}"}
        async with aiohttp.ClientSession(plane.url, headers=headers, connector=Connector(ssl=context)) as http:
            for api, kind, plural in kinds:
                async with http.get(f"/apis/{api}/{plural}") as answer:
                    items = (await answer.json())["items"]
                named = [one for one in items if not one["metadata"]["name"].startswith(OF_CONTROLLERS)]
                objects += [first(api, kind, one) for one in named]
    return objects


if __name__ == "__main__":
    for file, kinds in KINDS.items():
        file.write_text("".join(f"{json.dumps(one)}\n" for one in asyncio.run(recorded(kinds))))
