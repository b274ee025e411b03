"""What Tab offers, asked for as bash does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer.testing import build
from tests.cli.test_get_and_watch import config_map, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome, Served

    Run = Callable[..., Outcome]


def offered(kinformer: Run, line: str, **environment: str) -> list[str]:
    words = line.split(" ")
    outcome = kinformer(
        _KINFORMER_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **environment
    )
    assert outcome.err == ""
    return [line.partition(",")[2] for line in outcome.out.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kinformer wa", ["watch"]),
        ("kinformer watch deplo", ["deploy", "deployments"]),
        ("kinformer get ingr", ["ingresses", "ingressclasses"]),
        ("kinformer watch pods -o js", ["json", "jsonl", "jsonpath="]),
        ("kinformer watch pods --show-s", ["--show-secrets"]),
    ],
)
def test_what_is_known_is_offered_without_a_server(kinformer: Run, line: str, expected: list[str]) -> None:
    assert sorted(offered(kinformer, line)) == sorted(expected)


def test_the_server_is_asked_for_what_it_has(served: Served, kinformer: Run) -> None:
    # A busy machine needs longer than a person who presses Tab would wait.
    at = {"KUBECONFIG": str(served.kubeconfig), "KINFORMER_COMPLETION_SECONDS": "60"}
    config_map(served, "tab-first")
    config_map(served, "tab-second")
    send(served, "POST", "/api/v1/namespaces", build.namespace("tab-space"))
    definition = build.custom_resource_definition("tabulators", "Tabulator")
    send(served, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert offered(kinformer, "kinformer get cm tab-", **at) == ["tab-first", "tab-second"]
    assert offered(kinformer, "kinformer watch cm/tab-s", **at) == ["cm/tab-second"]
    assert offered(kinformer, "kinformer get cm -n tab-", **at) == ["tab-space"]
    assert offered(kinformer, "kinformer get cm -n tab-space tab-", **at) == []
    assert offered(kinformer, "kinformer watch tabu", **at) == ["tabulators.example.com"]
    assert offered(kinformer, "kinformer watch cm --context kin", **at) == ["kinformer"]
    line = f"kinformer get cm --server {served.url} -n default tab-f"
    assert offered(kinformer, line, KINFORMER_COMPLETION_SECONDS="60") == ["tab-first"]


def test_how_long_the_server_is_asked_can_be_set(served: Served, kinformer: Run) -> None:
    config_map(served, "late-one")
    line = "kinformer get cm late-"
    at = {"KUBECONFIG": str(served.kubeconfig)}
    assert offered(kinformer, line, **at, KINFORMER_COMPLETION_SECONDS="0.000001") == []
    assert offered(kinformer, line, **at, KINFORMER_COMPLETION_SECONDS="soon") == []
    assert offered(kinformer, line, **at, KINFORMER_COMPLETION_SECONDS="60") == ["late-one"]


def test_a_server_that_does_not_answer_offers_nothing_and_says_nothing(kinformer: Run) -> None:
    assert offered(kinformer, "kinformer get cm --server http://127.0.0.1:1 -n default a") == []
    assert offered(kinformer, "kinformer get nosuch a", KUBECONFIG="/nonexistent") == []
    assert offered(kinformer, "kinformer get cm --context a", KUBECONFIG="/nonexistent") == []
