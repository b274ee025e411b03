"""`kinformer get --contexts`: several clusters in one table, and one that fails is reported alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kinformer.cli import _get_contexts
from kinformer.cli._connect import ServerChoice
from kinformer.cli._get_contexts import get_from_contexts
from kinformer.cli._query import Form, Query, parse_targets
from kinformer.cli._selection import Selection
from kinformer.cli._session import UsageProblem
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome


def crd(title: str) -> dict[str, Any]:
    column = {"name": title, "type": "string", "jsonPath": ".spec.color"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "additionalPrinterColumns": [column]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box"},
            "versions": [version],
        },
    }


def box(name: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": name}, "spec": {"color": "red"}}


class Clusters:
    """The servers, and a kubeconfig with a context for each of them."""

    def __init__(self, kubeconfig: Path, servers: dict[str, ApiServer]) -> None:
        self.servers = servers
        self._kubeconfig = kubeconfig
        self._urls: dict[str, str] = {name: server.url for name, server in servers.items()}
        self.token = "right"

    def add(self, name: str, url: str) -> None:
        self._urls[name] = url

    async def get(self, words: str, contexts: str, **options: Any) -> int:
        users = [{"name": name, "user": {"token": self.token if name == "b" else "right"}} for name in self._urls]
        self._kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": name, "cluster": {"server": url}} for name, url in self._urls.items()],
                    "users": users,
                    "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in self._urls],
                }
            )
        )
        server = ServerChoice(kubeconfig=self._kubeconfig, **options.pop("server", {}))
        options.setdefault("selection", Selection(all_namespaces=True))
        return await get_from_contexts(Query(parse_targets(words.split()), **options), server, contexts)


@pytest.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[Clusters]:
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for name in ("a", "b"):
            servers[name] = server = await stack.enter_async_context(ApiServer(tokens={"right": "me"}))
            server.allow("me")
            server.create(build.pod(f"of-{name}", labels={"app": "web"}))
        yield Clusters(tmp_path / "config", servers)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


async def test_the_first_column_is_the_context(clusters: Clusters, capsys: pytest.CaptureFixture[str]) -> None:
    assert await clusters.get("pods", "b,a") == 0
    out, err = capsys.readouterr()
    assert [row[:3] for row in rows(out)] == [
        ["CONTEXT", "NAMESPACE", "NAME"],
        ["b", "default", "of-b"],
        ["a", "default", "of-a"],
    ]
    assert err == ""


@pytest.mark.parametrize(("contexts", "expected"), [("*", ["a", "b"]), ("b,*,b", ["b", "a"]), ("[ax]", ["a"])])
async def test_patterns_name_contexts_and_each_is_read_once(
    contexts: str, expected: list[str], clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await clusters.get("pods", contexts, headed=False) == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == expected


async def test_of_several_resources_each_has_a_table(clusters: Clusters, capsys: pytest.CaptureFixture[str]) -> None:
    assert await clusters.get("pods,ns", "a,b") == 0
    found = rows(capsys.readouterr().out)
    assert [row[:2] for row in found if row and row[-1] == "AGE"] == [["CONTEXT", "NAMESPACE"], ["CONTEXT", "NAME"]]
    assert ["b", "namespace/default"] in [row[:2] for row in found]


async def test_one_order_goes_over_all_contexts(clusters: Clusters, capsys: pytest.CaptureFixture[str]) -> None:
    clusters.servers["b"].create(build.pod("a-first"))
    assert await clusters.get("pods", "a,b", sort_by=".metadata.name", headed=False) == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["b", "a", "b"]


async def test_clusters_whose_columns_differ_have_tables_of_their_own(
    clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, title in (("a", "Color"), ("b", "Paint")):
        clusters.servers[name].create(crd(title))
        clusters.servers[name].create(box(f"in-{name}"))
    assert await clusters.get("boxes", "a,b") == 0
    found = rows(capsys.readouterr().out)
    assert [(row[0], row[-1]) for row in found if row] == [
        ("CONTEXT", "COLOR"),
        ("a", "red"),
        ("CONTEXT", "PAINT"),
        ("b", "red"),
    ]


async def away(clusters: Clusters) -> str:
    await clusters.servers["b"].stop()
    return "b: .*(refused|cannot connect|Connect)"


async def wrong_token(clusters: Clusters) -> str:
    clusters.token = "wrong"
    return "b: .*(401|Unauthorized)"


@pytest.mark.parametrize("fail", [away, wrong_token])
async def test_a_context_that_fails_is_reported_alone(
    fail: Callable[[Clusters], Any], clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await fail(clusters)
    assert await clusters.get("pods", "b,a") == 1
    out, err = capsys.readouterr()
    assert [row[0] for row in rows(out)] == ["CONTEXT", "a"]
    assert len(err.splitlines()) == 1
    assert re.search(f"^kinformer: context {said}", err), err
    assert "wrong" not in err


async def test_a_resource_that_one_cluster_lacks_is_reported_for_it_alone(
    clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    clusters.servers["a"].create(crd("Color"))
    clusters.servers["a"].create(box("one"))
    assert await clusters.get("boxes", "a,b", headed=False) == 1
    out, err = capsys.readouterr()
    assert [row[0] for row in rows(out)] == ["a"]
    assert err.startswith("kinformer: context b: ")
    assert "boxes" in err


async def test_a_name_that_one_cluster_lacks_is_reported_for_it_alone(
    clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await clusters.get("pod/of-a", "a,b", headed=False, selection=Selection()) == 1
    out, err = capsys.readouterr()
    assert [row[:2] for row in rows(out)] == [["a", "of-a"]]
    assert err.startswith("kinformer: context b: ")
    assert "of-a" in err


async def test_a_cluster_that_hangs_is_named_and_the_others_are_printed_in_the_end(
    clusters: Clusters, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_get_contexts, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        clusters.add("c", f"http://127.0.0.1:{hanging.getsockname()[1]}")
        getting = asyncio.get_running_loop().create_task(clusters.get("pods", "a,c", headed=False))
        err = ""
        async with asyncio.timeout(20):
            while not err:
                await asyncio.sleep(0.02)
                err += capsys.readouterr().err
    # The end of the server ends the connection.
    assert err == "kinformer: no answer yet: c\n"
    assert await getting == 1
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["a"]


async def test_json_lines_and_yaml_have_the_context_of_each_object(
    clusters: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await clusters.get("pods", "a,b", form=Form.JSON_LINES) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["context"], line["object"]["metadata"]["name"]) for line in lines] == [("a", "of-a"), ("b", "of-b")]
    assert await clusters.get("pods", "a,b", form=Form.YAML) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("#")] == ['# context: "a"', '# context: "b"']
    assert [document["metadata"]["name"] for document in yaml.safe_load_all(out)] == ["of-a", "of-b"]


async def test_nothing_found_is_said_once(clusters: Clusters, capsys: pytest.CaptureFixture[str]) -> None:
    assert await clusters.get("cm", "a,b", selection=Selection()) == 0
    assert capsys.readouterr() == ("", "kinformer: no cm found in the contexts a, b; -A looks in all namespaces\n")


async def test_what_makes_no_sense_is_refused_before_anything_is_read(clusters: Clusters) -> None:
    with pytest.raises(UsageProblem, match="there is no context 'c'; the contexts are a, b"):
        await clusters.get("pods", "a,c")
    with pytest.raises(UsageProblem, match="there is no context ''"):
        await clusters.get("pods", "a,")
    with pytest.raises(UsageProblem, match="-o json has no place for the context"):
        await clusters.get("pods", "a", form=Form.JSON)
    with pytest.raises(UsageProblem, match="--context names one server and --contexts several"):
        await clusters.get("pods", "a", server={"context": "a"})


def test_a_watch_is_of_one_cluster(kinformer: Callable[..., Outcome]) -> None:
    ended = kinformer("get", "pods", "--contexts", "a,b", "-w")
    assert (ended.code, ended.out) == (2, "")
    assert "-w watches one cluster" in ended.err
