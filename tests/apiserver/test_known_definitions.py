"""Custom resources of well-known operators: both servers take their definitions, and judge the same objects alike."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from kinformer import ApiError, Client, ClusterConfig, Resource
from kinformer.custom_resources._install import install
from kinformer.testing import ApiServer
from tests.apiserver.known_definitions import changed, definitions, sample

if TYPE_CHECKING:
    from kinformer.testing import ControlPlane

SAMPLES: Final = 4
"""Objects of each version of each definition, of which half have a change that most schemas refuse."""

EACH: Final = 7
"""One definition of so many is tried, which takes less than a minute; with 1, all of them are."""


async def verdict(client: Client, resource: Resource, manifest: dict[str, Any]) -> tuple[int, frozenset[str]]:
    """The code of a dry run, and the fields that are refused."""
    namespace = "default" if resource.namespaced else None
    try:
        await client.create(resource, manifest, namespace=namespace, dry_run=True, field_validation="Strict")
    except ApiError as error:
        causes = error.details.get("causes") or ()
        return error.status, frozenset(str(cause.get("field")) for cause in causes)
    return 201, frozenset()


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_definitions_of_well_known_operators_are_taken_and_their_objects_judged_alike(
    control_plane: ControlPlane,
) -> None:
    found = (await asyncio.to_thread(definitions))[1::EACH]
    if not found:
        pytest.skip("there are no definitions: go mod download needs Go and a module proxy")
    config = ClusterConfig.for_server(control_plane.url, token=control_plane.token, ca_file=control_plane.ca_file)
    judged, valid = 0, 0
    differences: list[tuple[Any, ...]] = []
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer())
        ours = await stack.enter_async_context(Client(ClusterConfig.for_server(server.url)))
        theirs = await stack.enter_async_context(Client(config))
        for definition in found:
            for client in (ours, theirs):
                await install(client, definition, field_manager="test", allow_incompatible=True, timeout=60)
            spec = definition["spec"]
            for version in (each for each in spec["versions"] if each["served"]):
                names = (spec["group"], version["name"], spec["names"]["plural"], spec["names"]["kind"])
                resource = Resource(*names, namespaced=spec["scope"] == "Namespaced")
                schema = version["schema"]["openAPIV3Schema"]
                for number in range(SAMPLES):
                    rng = random.Random(f"{resource} {number}")
                    manifest = sample(schema, rng) | {"metadata": {"name": "a"}}
                    manifest |= {"apiVersion": resource.api_version, "kind": resource.kind}
                    if number % 2:
                        manifest = changed(manifest, rng)
                    mine, real = await verdict(ours, resource, manifest), await verdict(theirs, resource, manifest)
                    judged += 1
                    valid += real[0] == 201
                    if mine != real:
                        differences.append((str(resource), number, mine, real))
            for client in (ours, theirs):
                await client.delete("customresourcedefinitions", definition["metadata"]["name"])
    print(
        f"{len(found)} definitions, {judged} objects, {valid} valid, {len(differences)} differences",
        *differences,
        sep="\n",
    )
    assert len(found) >= 5
    assert valid > judged / 10
    assert differences == []
