"""The cluster roles and their bindings that a real kube-apiserver makes: the embedded server has the same.

python -m tests.apiserver.first_roles      # asks a real kube-apiserver, and writes the file
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Final

import aiohttp

from kinformer._connector import Connector
from kinformer.testing import ControlPlane
from kinformer.testing._apiserver.rules.first_roles import FILE

API: Final = "rbac.authorization.k8s.io/v1"
OF_CONTROLLERS: Final = "system:controller:"
KEPT: Final = ("name", "labels", "annotations")


def first(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """An object without what a server adds to it."""
    metadata = {name: found["metadata"][name] for name in KEPT if name in found["metadata"]}
    return {**found, "apiVersion": API, "kind": kind, "metadata": metadata}


async def recorded() -> list[dict[str, Any]]:
    """Return the objects of a new server, without the roles of controllers."""
    objects: list[dict[str, Any]] = []
    async with ControlPlane() as plane:
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        headers = {"Authorization": f"Bearer {plane.token}"}
        async with aiohttp.ClientSession(plane.url, headers=headers, connector=Connector(ssl=context)) as http:
            for kind, plural in (("ClusterRole", "clusterroles"), ("ClusterRoleBinding", "clusterrolebindings")):
                async with http.get(f"/apis/{API}/{plural}") as answer:
                    items = (await answer.json())["items"]
                objects += [first(kind, one) for one in items if not one["metadata"]["name"].startswith(OF_CONTROLLERS)]
    return objects


if __name__ == "__main__":
    FILE.write_text("".join(f"{json.dumps(one)}\n" for one in asyncio.run(recorded())))
