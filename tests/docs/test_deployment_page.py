"""The manifests of the page on deployment are accepted by an API server, and suffice for the program on it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import yaml

from kinformer import Client, ClusterConfig
from kinformer.testing import ApiServer
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "deployment.md").read_text()
USER = "system:serviceaccount:operators:namespace-watcher"
PORT = "port=8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def manifests() -> list[dict[str, Any]]:
    return [manifest for block in blocks("yaml") for manifest in yaml.safe_load_all(block)]


def deployment() -> dict[str, Any]:
    (found,) = (manifest for manifest in manifests() if manifest["kind"] == "Deployment")
    return found


async def test_the_program_needs_no_more_than_the_service_account_may_do() -> None:
    (program,) = blocks("python")
    names: dict[str, Any] = {}
    exec(program.replace('host="0.0.0.0", ' + PORT, "port=0"), names)
    async with ApiServer(rbac=True, tokens={"t": USER}) as server:
        for manifest in manifests():
            server.create(manifest)
        async with Client(ClusterConfig.for_server(server.url, token="t")) as client:
            running = names["manager"](client)
            async with running, asyncio.timeout(60):
                while not server.list("v1", "Event", namespace="default"):
                    await asyncio.sleep(0.05)
        assert {each["involvedObject"]["name"] for each in server.list("v1", "Event")} >= {"operators", "default"}
        asked = {(each.verb, each.resource) for each in server.requests if each.user == USER and each.resource}
        assert {"namespaces", "events", "leases"} == {resource for _, resource in asked}


def test_the_probes_ask_for_what_the_manager_serves() -> None:
    (container,) = deployment()["spec"]["template"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert paths == {"/livez", "/readyz"}
    assert container["ports"][0]["containerPort"] == int(PORT.partition("=")[2])
    assert PORT in PAGE


def test_the_image_runs_the_program_as_another_user_than_root() -> None:
    (containerfile,) = blocks("dockerfile")
    assert '"kinformer", "run", "namespace_watcher"' in containerfile.replace("/venv/bin/", "")
    assert re.search(r"^USER [1-9]\d*", containerfile, re.MULTILINE)
    assert deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30
