"""Write the generated file of a Kubernetes release: kinformer/testing/_apiserver/schemas/kubernetes-X.Y.zip.

    make apiserver-assets                                     # etcd and kube-apiserver, in the version that go.mod pins
    .venv/bin/python tests/apiserver/assets/schemas/generate.py
    make apiserver-assets K8S=1.37                            # the same for a release with a go-X.Y.mod of its own
    .venv/bin/python tests/apiserver/assets/schemas/generate.py 1.37

The Go types come from the program beside this file; list types, enums, defaults, the OpenAPI documents and the columns
of tables come from a kube-apiserver that is started for it. The same versions give the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, DELTA, Archive
from kinformer.testing._apiserver.schemas.delta import delta_of
from tests.apiserver.real_server import real_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ASSETS = Path(__file__).parents[1]
OUT = Path(__file__).parents[4] / "kinformer" / "testing" / "_apiserver" / "schemas"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PREFIXES = {
    "apis/meta/": "io.k8s.apimachinery.pkg.apis.meta.",
    "api/resource": "io.k8s.apimachinery.pkg.api.resource",
    "runtime": "io.k8s.apimachinery.pkg.runtime",
    "util/intstr": "io.k8s.apimachinery.pkg.util.intstr",
    "apiextensions/": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.",
    "apiregistration/": "io.k8s.kube-aggregator.pkg.apis.apiregistration.",
}


def go_types(release: str) -> dict[str, Any]:
    """Run the Go program with the modules of a release."""
    own = ASSETS / f"go-{release}.mod"
    environment = os.environ | {"CGO_ENABLED": "0", "PATH": os.environ["PATH"] + ":/usr/local/go/bin"}
    command = [
        "go",
        "run",
        f"-modfile={own if own.exists() else ASSETS / 'go.mod'}",
        "-buildvcs=false",
        "-trimpath",
        "./schemas",
    ]
    done = subprocess.run(command, cwd=ASSETS, env=environment, check=True, stdout=subprocess.PIPE)
    table: dict[str, Any] = json.loads(done.stdout)
    return table


async def documents(release: str) -> tuple[str, dict[str, bytes]]:
    """Ask a kube-apiserver for its version ("1.36") and its OpenAPI documents, by member of the archive."""
    async with real_server(release) as (_, session):

        async def get(path: str, accept: str = "application/json") -> bytes:
            async with session.get(path, headers={"Accept": accept}) as response:
                response.raise_for_status()
                return await response.read()

        found = {
            "openapi/v2.json": await get("/openapi/v2"),
            "openapi/v2.pb": await get("/openapi/v2", V2_PROTOBUF),
        }
        for place in json.loads(await get("/openapi/v3"))["paths"]:
            found[f"openapi/v3/{place}.json"] = await get(f"/openapi/v3/{place}")
        columns = {}
        for place in _places(json.loads(await get("/apis"))):
            for resource in json.loads(await get(place))["resources"]:
                if "list" in resource["verbs"] and "/" not in resource["name"]:
                    table = json.loads(await get(f"{place}/{resource['name']}?limit=1", TABLE))
                    version = place.removeprefix("/apis/").removeprefix("/api/")
                    columns[f"{version} {resource['name']}"] = table["columnDefinitions"]
        found["columns.json"] = json.dumps(columns, separators=(",", ":"), sort_keys=True).encode()
        found["discovery.json"] = json.dumps(await _discovery(get), separators=(",", ":")).encode()
        version = json.loads(await get("/version"))
    return f"{version['major']}.{version['minor']}", found


async def _discovery(get: Callable[..., Awaitable[bytes]]) -> dict[str, Any]:
    """Return the aggregated documents, and the hashes of storage versions, which only the plain ones have."""
    core, groups = [json.loads(await get(path, AGGREGATED))["items"] for path in ("/api", "/apis")]
    hashes = {}
    for place in _places(json.loads(await get("/apis"))):
        listed = json.loads(await get(place))
        group = listed["groupVersion"].rpartition("/")[0]
        for resource in listed["resources"]:
            if resource.get("storageVersionHash"):
                hashes[f"{group}/{resource['name']}"] = resource["storageVersionHash"]
    return {"core": core, "groups": groups, "storageVersionHashes": hashes}


def _places(groups: dict[str, Any]) -> list[str]:
    """Return the paths of all versions of all groups."""
    versions = [version["groupVersion"] for group in groups["groups"] for version in group["versions"]]
    return ["/api/v1", *(f"/apis/{version}" for version in versions)]


def openapi_name(key: str) -> str:
    """Return the OpenAPI name of a Go type, as io.k8s.api.core.v1.PodSpec of core/v1.PodSpec."""
    for prefix, name in PREFIXES.items():
        if key.startswith(prefix):
            return name + key.removeprefix(prefix).replace("/", ".")
    return "io.k8s.api." + key.replace("/", ".")


def add_openapi(table: dict[str, Any], found: dict[str, bytes]) -> None:
    """Add to each field of the table what only OpenAPI knows."""
    schemas: dict[str, Any] = {}
    for member, content in found.items():
        if member.startswith("openapi/v3/"):
            schemas |= json.loads(content).get("components", {}).get("schemas", {})
    types = table["types"]
    for key, row in types.items():
        schema = schemas.get(openapi_name(key), {})
        properties = schema.get("properties", {})
        if schema.get("x-kubernetes-map-type") == "atomic":
            row["atomic"] = True
        # The fields of a struct that only others inline, as EphemeralContainerCommon, are known by these.
        inlined = [field["type"].lstrip("*@") for field in row.get("fields", ()) if field.get("inline")]
        hidden = [types[name] for name in inlined if name in types and openapi_name(name) not in schemas]
        for field in [one for source in (row, *hidden) for one in source.get("fields", ())]:
            one = properties.get(field["json"])
            if one is None:
                continue
            if one.get("x-kubernetes-list-type"):
                field["listType"] = one["x-kubernetes-list-type"]
            if one.get("x-kubernetes-list-map-keys"):
                field["listKeys"] = one["x-kubernetes-list-map-keys"]
            referred = [schemas.get(part.get("$ref", "").rpartition("/")[2], {}) for part in one.get("allOf", ())]
            for source in (one, *referred):
                if source.get("x-kubernetes-map-type"):
                    field["mapType"] = source["x-kubernetes-map-type"]
            if one.get("enum"):
                field["enum"] = one["enum"]
            if "default" in one and one["default"] != {}:
                field["default"] = one["default"]
            if field["json"] in schema.get("required", ()):
                field["required"] = True


def write(release: str, members: dict[str, bytes]) -> Path:
    """Write the archive, the same bytes for the same members; of another release than the default, the difference."""
    if release != DEFAULT_RELEASE:
        complete = Archive.of()
        members = {
            name if old is None else name + DELTA: content if old is None else delta_of(old, content)
            for name, content in members.items()
            for old in (complete.read(name),)
        }
    path = OUT / f"kubernetes-{release}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, members[name])
    return path


def main() -> int:
    """Generate the file, and print where it is."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_RELEASE
    table = go_types(wanted)
    release, found = asyncio.run(documents(wanted))
    add_openapi(table, found)
    text = json.dumps(table, separators=(",", ":"), sort_keys=True).encode()
    path = write(release, {"types.json": text} | found)
    print(f"{path}: {path.stat().st_size:,} bytes, {len(table['kinds'])} kinds, {len(table['types'])} types")
    return 0


if __name__ == "__main__":
    sys.exit(main())
