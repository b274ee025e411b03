"""Custom resources of well-known operators: both servers take their definitions, and judge the same objects alike."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest

from kinformer import ApiError, Client, ClusterConfig, Resource
from kinformer._object_classes import decoder_of
from kinformer.custom_resources import crd, resource_of
from kinformer.custom_resources._install import install
from kinformer.testing import ApiServer
from tests.apiserver.classes_of_schemas import classes_of, comparable
from tests.apiserver.known_definitions import changed, definitions, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing import ControlPlane

SAMPLES: Final = 4
"""Objects of each version of each definition, of which half have a change that most schemas refuse."""

EACH: Final = 11
"""One definition of so many is tried, which takes less than a minute; with 1, all of them are."""

_NOT_IN_PYTHON: Final = {"alertmanagerconfigs.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"}
"""Definitions with patterns that only Go can read, so that no class can have them."""


class Verdict(NamedTuple):
    """The code of a dry run, the fields that are refused, and the object that would be stored."""

    code: int
    fields: frozenset[str] = frozenset()
    stored: dict[str, Any] | None = None


async def verdict(client: Client, resource: Resource, manifest: dict[str, Any]) -> Verdict:
    namespace = "default" if resource.namespaced else None
    try:
        made = await client.create(resource, manifest, namespace=namespace, dry_run=True, field_validation="Strict")
    except ApiError as error:
        causes = error.details.get("causes") or ()
        return Verdict(error.status, frozenset(str(cause.get("field")) for cause in causes))
    return Verdict(201, stored=made.to_dict())


def samples(definition: dict[str, Any]) -> Iterator[tuple[Resource, str, dict[str, Any]]]:
    """Objects of each served version, valid ones and others."""
    spec = definition["spec"]
    for version in (each for each in spec["versions"] if each["served"]):
        names = (spec["group"], version["name"], spec["names"]["plural"], spec["names"]["kind"])
        resource = Resource(*names, namespaced=spec["scope"] == "Namespaced")
        for number in range(SAMPLES):
            rng = random.Random(f"{resource} {number}")
            manifest = sample(version["schema"]["openAPIV3Schema"], rng) | {"metadata": {"name": "a"}}
            manifest |= {"apiVersion": resource.api_version, "kind": resource.kind}
            yield resource, f"{resource} {number}", changed(manifest, rng) if number % 2 else manifest


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_definitions_of_well_known_operators_are_taken_and_their_objects_judged_alike(
    control_plane: ControlPlane,
) -> None:
    found = (await asyncio.to_thread(definitions))[1::EACH]
    if not found:
        pytest.skip("there are no definitions: go mod download needs Go and a module proxy")
    config = ClusterConfig.for_server(control_plane.url, token=control_plane.token, ca_file=control_plane.ca_file)
    judged, valid, of_classes = 0, 0, 0
    differences: list[tuple[Any, ...]] = []
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer())
        ours = await stack.enter_async_context(Client(ClusterConfig.for_server(server.url)))
        theirs = await stack.enter_async_context(Client(config))
        for definition in found:
            name = definition["metadata"]["name"]
            classes = [] if name in _NOT_IN_PYTHON else classes_of(definition)
            of_classes += bool(classes)
            decoders: dict[str, Any] = {resource_of(each).version: decoder_of(each) for each in classes}
            for wanted in [definition, *([definition | {"spec": crd(*classes)["spec"]}] if classes else [])]:
                for client in (ours, theirs):
                    await install(client, wanted, field_manager="test", allow_incompatible=True, timeout=60)
                if wanted is not definition:
                    # Both versions of the definition are served by the same objects, so the server has to take it in.
                    await asyncio.sleep(0.5)
                for resource, at, manifest in samples(definition):
                    mine, real = await verdict(ours, resource, manifest), await verdict(theirs, resource, manifest)
                    judged += 1
                    valid += real.code == 201
                    if mine[:2] != real[:2]:
                        differences.append((at, mine[:2], real[:2]))
                    if real.stored and classes:
                        try:
                            decoders[resource.version](msgspec.json.encode(real.stored))
                        except ValueError as error:
                            differences.append((at, "is stored, and the class refuses it", str(error)))
            for client in (ours, theirs):
                await client.delete("customresourcedefinitions", name)
    print(
        f"{len(found)} definitions, {of_classes} by classes, too",
        f"{judged} objects, {valid} valid, {len(differences)} differences",
        *differences,
        sep="\n",
    )
    assert len(found) >= 5
    assert valid > judged / 10
    assert differences == []


@pytest.mark.real
@pytest.mark.timeout(300)
def test_a_class_says_what_the_definition_of_a_well_known_operator_says() -> None:
    found = definitions()
    if not found:
        pytest.skip("there are no definitions: go mod download needs Go and a module proxy")
    for definition in found:
        if definition["metadata"]["name"] in _NOT_IN_PYTHON:
            continue
        made = crd(*classes_of(definition))
        assert made["spec"]["names"] | {"listKind": ""} == definition["spec"]["names"] | {"listKind": ""}
        for theirs, ours in zip(definition["spec"]["versions"], made["spec"]["versions"], strict=True):
            assert comparable(ours) == comparable(theirs)
