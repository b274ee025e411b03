"""An operator on kopf and its port to kinformer do the same; and the port does it whatever happens to its requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from examples.ports import volumes
from kinformer import Client, ClusterConfig
from kinformer.resources import PERSISTENTVOLUMECLAIMS as CLAIMS
from kinformer.testing import ApiServer
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

VOLUMES = volumes.Volume.resource
_HANDLED = "kopf.zalando.org/last-handled-configuration"


async def until(look: Callable[[], Any], wanted: Any) -> None:
    async with asyncio.timeout(60):
        while look() != wanted:
            await asyncio.sleep(0.02)


def seen(server: ApiServer) -> dict[str, tuple[str, dict[str, str]]]:
    """The claims: their sizes and labels."""
    claims = server.list("v1", "PersistentVolumeClaim")
    return {
        claim["metadata"]["name"]: (
            claim["spec"]["resources"]["requests"]["storage"],
            claim["metadata"].get("labels", {}),
        )
        for claim in claims
    }


def definition() -> dict[str, Any]:
    """The CRD, with a status of any fields: kopf keeps results there."""
    made = volumes.Volume.crd()
    (version,) = made["spec"]["versions"]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"]["properties"]["status"] = anything
    return made


@contextlib.asynccontextmanager
async def on_kopf(server: ApiServer, folder: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    kubeconfig = folder / "kubeconfig"
    server.write_kubeconfig(kubeconfig)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kopf", "run", str(ROOT / "examples/ports/volumes_kopf.py"), "--namespace", "default"),
        env={"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stderr=asyncio.subprocess.DEVNULL,
    )

    def is_handled() -> bool:
        (volume,) = (one for one in server.list("example.com/v1", "Volume") if one["metadata"]["name"] == "a")
        handled = json.loads(volume["metadata"].get("annotations", {}).get(_HANDLED, "{}"))
        labels = handled.get("metadata", {}).get("labels")
        return (handled.get("spec"), labels) == (volume["spec"], volume["metadata"]["labels"])

    try:
        # A change that comes before kopf has noted the one before is none of its updates.
        yield lambda: until(is_handled, wanted=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def on_kinformer(server: ApiServer, folder: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    async with Client(ClusterConfig.for_server(server.url)) as client, volumes.manager(client):
        yield lambda: asyncio.sleep(0)


@pytest.mark.parametrize("running", [pytest.param(on_kopf, marks=pytest.mark.peer), on_kinformer])
async def test_a_claim_has_the_size_and_labels_of_its_volume_and_goes_with_it(running: Any, tmp_path: Path) -> None:
    async with ApiServer(controllers=["garbage-collector"]) as server:
        server.create(definition())
        async with Client(ClusterConfig.for_server(server.url)) as user, running(server, tmp_path) as settled:
            metadata = {"name": "a", "namespace": "default", "labels": {"app": "web", "tier": "front"}}
            await user.create(VOLUMES, {"metadata": metadata, "spec": {"size": "1Gi"}})
            await user.create(VOLUMES, {"metadata": {"name": "empty", "namespace": "default"}, "spec": {}})
            await until(lambda: seen(server), {"a": ("1Gi", {"app": "web", "tier": "front"})})
            await settled()
            bound = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
            await user.patch_status(CLAIMS, "a", {"status": bound}, namespace="default")
            await user.patch(VOLUMES, "a", {"spec": {"size": "2Gi"}}, namespace="default")
            await until(lambda: seen(server), {"a": ("2Gi", {"app": "web", "tier": "front"})})
            await settled()
            await user.patch(VOLUMES, "a", {"metadata": {"labels": {"tier": "back"}}}, namespace="default")
            await until(lambda: seen(server), {"a": ("2Gi", {"app": "web", "tier": "back"})})
            await user.delete(VOLUMES, "a", namespace="default")
            await until(lambda: seen(server), {})


async def play(seed: int) -> None:
    """Change volumes at random while requests fail and watches break; then the claims are those of the volumes."""
    rng = random.Random(seed)
    async with ApiServer(controllers=["garbage-collector"]) as server:
        server.create(definition())
        async with on_kinformer(server, ROOT):
            for _ in range(30):
                step(server, rng)
                await asyncio.sleep(rng.choice([0, 0, 0.005, 0.02]))
            server.faults.clear()
            wanted = {
                volume["metadata"]["name"]: (volume["spec"]["size"], volume["metadata"].get("labels", {}))
                for volume in server.list("example.com/v1", "Volume")
            }
            await until(lambda: seen(server), wanted)


def step(server: ApiServer, rng: random.Random) -> None:
    faults, name = server.faults, rng.choice("abcd")
    there = {volume["metadata"]["name"] for volume in server.list("example.com/v1", "Volume")}
    match rng.randrange(9):
        case 0:
            faults.drop_watches()
        case 1:
            faults.cut_mid_line()
        case 2:
            faults.fail_next(
                rng.randint(1, 3), status=rng.choice([429, 500, 503]), verb=rng.choice(["patch", "list", None])
            )
        case 3:
            faults.drop_watches()
            faults.expire()
        case 4 if name in there:
            server.delete("example.com/v1", "Volume", name)
        case 5 if name in there:
            claims = {claim["metadata"]["name"] for claim in server.list("v1", "PersistentVolumeClaim")}
            if name in claims:
                server.delete("v1", "PersistentVolumeClaim", name)
        case _ if name in there:
            change = {"metadata": {"labels": {"tier": rng.choice("xyz")}}}
            server.patch("example.com/v1", "Volume", name, change)
        case _:
            labels = {"app": rng.choice("xyz")}
            server.create(
                {"apiVersion": "example.com/v1", "kind": "Volume", "spec": {"size": f"{rng.randint(1, 5)}Gi"},
                 "metadata": {"name": name, "namespace": "default", "labels": labels}}
            )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_claims_are_those_of_the_volumes(seed: int) -> None:
    await play(seed)
