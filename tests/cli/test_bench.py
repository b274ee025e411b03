"""`kinformer bench`: reads only, says so, and measures what is there."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig
from kinformer.cli._bench import FEWEST, BenchPlan, BenchReport, measure
from kinformer.cli._connect import ServerChoice
from kinformer.cli._session import UsageProblem
from kinformer.errors import KinformerError
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer
from tests.cli.conftest import Outcome, Served, end, start
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = ROOT / "docs" / "how-to" / "benchmark-your-cluster.md"
MANY = FEWEST + 50


class Shown:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seconds: list[float] = []

    def begin(self, text: str) -> None:
        self.said.append(text)

    def listing(self, resource: str, objects: int) -> None:
        assert resource
        assert objects >= 0

    def watching(self, seconds: float, of: float, events: int) -> None:
        assert events >= 0
        assert of > 0
        self.seconds.append(seconds)


def config_map(number: int) -> dict[str, Any]:
    metadata = {"name": f"a-{number}", "namespace": "default", "labels": {"half": str(number % 2)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ballast": "x" * 1000}}


async def measured(server: ApiServer, plan: BenchPlan, view: Shown | None = None) -> BenchReport:
    return await measure(plan, ServerChoice(server=server.url), view or Shown())


async def test_it_lists_and_watches_each_resource_once_and_nothing_else() -> None:
    async with ApiServer() as server:
        for number in range(MANY):
            server.create(config_map(number))
        view = Shown()
        report = await measured(server, BenchPlan(["configmaps", "nodes"], all_namespaces=True, seconds=0.6), view)
        asked = [(record.verb, record.resource) for record in server.requests if record.resource]
    assert sorted(asked) == [("watch", "configmaps"), ("watch", "nodes")], "the list comes with the watch"
    assert "changes nothing" in view.said[0]
    assert "configmaps in all namespaces, nodes in the cluster" in view.said[0]
    assert view.seconds == sorted(view.seconds)
    config_maps, nodes = report.lists
    assert (config_maps.resource, config_maps.objects, nodes.objects) == ("configmaps", MANY, 0)
    assert config_maps.bytes > MANY * 1000
    assert config_maps.cpu_per_object is not None
    assert config_maps.of_the_scan_limit is not None
    assert nodes.cpu_per_object is None, "of nothing there is no cost for each"
    assert report.watch is not None
    assert report.watch.events == 0
    assert report.watch.cpu_per_event is None


async def test_events_are_counted_from_when_the_lists_are_there() -> None:
    async with ApiServer() as server:
        server.create(config_map(0))

        async def write() -> None:
            async with Client(ClusterConfig.for_server(server.url)) as client:
                while True:
                    await client.patch(CONFIGMAPS, "a-0", {"data": {"x": "y"}}, namespace="default")
                    await client.patch(CONFIGMAPS, "a-0", {"data": {"x": "z"}}, namespace="default")

        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write())
            report = await measured(server, BenchPlan(["configmaps"], namespace="default", seconds=0.5))
            writing.cancel()
    assert report.watch is not None
    assert report.watch.events > 0
    assert report.watch.seconds >= 0.5


async def test_a_server_that_goes_away_while_watching_is_counted_and_not_an_error() -> None:
    async with ApiServer() as server:
        server.create(config_map(0))

        class Breaking(Shown):
            def watching(self, seconds: float, of: float, events: int) -> None:
                super().watching(seconds, of, events)
                if len(self.seconds) == 1:
                    server.faults.fail_next(status=503)
                    server.faults.drop_watches()

        report = await measured(server, BenchPlan(["configmaps"], all_namespaces=True, seconds=0.6), Breaking())
    assert report.watch is not None
    assert report.watch.failures >= 1


async def test_what_the_server_refuses_is_an_error() -> None:
    async with ApiServer() as server:
        server.faults.fail_next(None, status=403, resource="configmaps")
        with pytest.raises(KinformerError, match="configmaps"):
            await measured(server, BenchPlan(["configmaps"], seconds=0.1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pods", "pods"], "pods: given twice"),
        (["pods", "-n", "a", "-A"], "give one"),
        (["pods", "-o", "yaml"], "expected table, json"),
        (["nodes", "-n", "a"], "cluster-scoped"),
        (["nonsense"], "has no resource 'nonsense'"),
        (["pods", "--for", "-1"], "--for"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    kinformer: Callable[..., Outcome], served: Served, arguments: list[str], said: str
) -> None:
    done = kinformer("bench", *arguments, "--server", served.url)
    assert done.code in {1, 2}
    assert said in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1


def test_a_server_that_is_not_there_is_told_in_one_line(kinformer: Callable[..., Outcome]) -> None:
    done = kinformer("bench", "--server", "http://127.0.0.1:1", "--for", "0")
    assert done.code == 1
    assert "no connection" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_nobody_waits_for_it_after_ctrl_c(served: Served) -> None:
    process = start("bench", "pods", "-A", "--server", served.url, "--for", "600")
    assert process.stderr is not None
    process.stderr.readline()
    assert end(process, signal.SIGINT).code == 130


def commands() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ kinformer bench")]


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_manual_work(kinformer: Callable[..., Outcome], served: Served, command: str) -> None:
    """As they are printed, but for the cluster and the time."""
    words = shlex.split(command.partition("#")[0])[1:]
    for option in ("--context", "--for"):
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
    done = kinformer(*words, "--server", served.url, "--for", "0.2")
    assert done.code == 0, done.err
    if "json" in words:
        assert json.loads(done.out)["watch"]["seconds"] >= 0.2
    else:
        assert done.out.startswith("FIRST LIST")
        assert "Watched for" in done.out


def test_the_manual_has_commands() -> None:
    assert len(commands()) >= 3


def test_a_plan_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(UsageProblem):
        BenchPlan(["pods"], namespace="a", all_namespaces=True)
