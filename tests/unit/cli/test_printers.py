"""The forms in which objects are printed, and what stands out in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kinformer.cli._jsonpath import JsonPath
from kinformer.cli._printers import (
    Change,
    DiffPrinter,
    JsonPathPrinter,
    JsonPrinter,
    NamePrinter,
    Printer,
    TablePrinter,
    YamlPrinter,
)
from kinformer.client import TableColumn
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, PODS, SECRETS

COLUMNS = (TableColumn("Name", 0), TableColumn("Ready", 0), TableColumn("Age", 0), TableColumn("Node", 1))


def row(*cells: Any, version: str = "1", namespace: str = "default") -> KubeObject:
    metadata = {"name": str(cells[0]), "namespace": namespace, "resourceVersion": version}
    return KubeObject.from_dict({"cells": list(cells), "kind": "PartialObjectMetadata", "metadata": metadata}, PODS)


def table(**options: Any) -> TablePrinter:
    chosen: dict[str, Any] = {"columns": lambda: COLUMNS, "marked": True, "namespaced": False} | options
    return TablePrinter(PODS, **chosen)


def secret(value: str = "aHVudGVyMg==") -> KubeObject:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"password":"{value}"}}}}'}
    metadata = {"name": "s", "namespace": "default", "annotations": annotations}
    return KubeObject.from_dict({"metadata": metadata, "data": {"password": value}}, SECRETS)


def test_the_columns_are_the_server_s_and_those_of_less_importance_are_shown_when_asked_for() -> None:
    rows = [Change("", row("web-0", "1/1", "5s", "node-1"))]
    assert table().lines(rows) == "EVENT      NAME    READY   AGE\n-          web-0   1/1     5s\n"
    assert table(wide=True, marked=False).lines(rows) == "NAME    READY   AGE   NODE\nweb-0   1/1     5s    node-1\n"
    assert table(marked=False, namespaced=True).lines(rows).splitlines()[1] == "default     web-0   1/1     5s"


def labelled(**labels: str) -> KubeObject:
    metadata = {"name": "web-0", "namespace": "default", "labels": labels}
    return KubeObject.from_dict({"cells": ["web-0", "1/1", "5s", "n"], "metadata": metadata}, PODS)


def test_labels_have_columns_behind_those_of_the_server() -> None:
    rows = [Change("", labelled(**{"tier": "web", "example.com/app": "shop"}))]
    printed = table(marked=False, label_columns=["example.com/app", "none"], all_labels=True).lines(rows)
    assert [line.split() for line in printed.splitlines()] == [
        ["NAME", "READY", "AGE", "APP", "NONE", "LABELS"],
        ["web-0", "1/1", "5s", "shop", "example.com/app=shop,tier=web"],
    ]
    assert table(marked=False, all_labels=True).lines([Change("", labelled())]).split()[-1] == "<none>"


def test_a_table_without_titles_is_aligned_all_the_same() -> None:
    printer = table(marked=False, headed=False)
    assert printer.lines([Change("", row("web-0", "1/1", "5s", "n"))]) == "web-0   1/1   5s\n"
    assert printer.lines([Change("", row("a", "1/1", "5s", "n"))]) == "a       1/1   5s\n"


def test_without_the_server_s_columns_they_are_ours() -> None:
    obj = KubeObject.from_dict({"metadata": {"name": "a", "namespace": "default"}, "data": {"x": "1"}}, CONFIGMAPS)
    printed = TablePrinter(CONFIGMAPS, marked=False, namespaced=False).lines([Change("", obj)])
    assert printed.splitlines()[0].split() == ["NAME", "DATA", "AGE"]


@pytest.mark.parametrize(
    ("cell", "printed"),
    [(None, ""), (3, "3"), (True, "true"), (["a"], "['a']"), ("two\nlines", "two..."), ("\x1b[31mred", "\\x1b[31mred")],
)
def test_a_cell_of_any_kind_is_one_line_that_drives_no_terminal(cell: Any, printed: str) -> None:
    lines = table(marked=False).lines([Change("", row("web-0", cell, "x"))]).splitlines()
    assert lines[1].split("   ")[1].strip() == printed


def test_cells_that_changed_stand_out_and_ages_do_not() -> None:
    printer = table(color=True)
    printer.lines([Change("", row("web-0", "0/1", "5s", version="1"))])
    new, old = row("web-0", "1/1", "9s", version="2"), row("web-0", "0/1", "5s", version="1")
    (line,) = printer.lines([Change("MODIFIED", new, old)]).splitlines()
    assert line == "\x1b[36mMODIFIED\x1b[0m   web-0   \x1b[1;33m1/1  \x1b[0m   9s"
    assert printer.lines([Change("DELETED", new)]) == "\x1b[31mDELETED \x1b[0m   web-0   1/1     9s\n"


def test_what_was_printed_stays_so_columns_only_become_wider() -> None:
    printer = table()
    printer.lines([Change("", row("a", "1/1", "5s"))])
    assert (
        printer.lines([Change("ADDED", row("a-longer-name", "1/1", "5s"))]) == "ADDED      a-longer-name   1/1     5s\n"
    )
    assert printer.lines([Change("ADDED", row("b", "1/1", "5s"))]) == "ADDED      b               1/1     5s\n"


def deployment(replicas: int, version: str) -> KubeObject:
    metadata = {"name": "web", "namespace": "default", "resourceVersion": version}
    return KubeObject.from_dict({"metadata": metadata, "spec": {"replicas": replicas}}, DEPLOYMENTS)


def test_below_an_update_stands_what_it_changed() -> None:
    printer = DiffPrinter(TablePrinter(DEPLOYMENTS, marked=True, namespaced=False))
    printer.lines([Change("", deployment(1, "1"))])
    changes = [
        Change("MODIFIED", deployment(2, "2"), deployment(1, "1")),
        Change("MODIFIED", deployment(2, "3"), deployment(2, "2")),
        Change("DELETED", deployment(2, "4")),
    ]
    lines = printer.lines(changes).splitlines()
    assert [line.split()[0] for line in lines] == ["MODIFIED", "~", "MODIFIED", "only", "DELETED"]
    assert lines[1] == "    ~ spec.replicas: 1 → 2"
    assert lines[3] == "    only its resource version"


def test_with_differences_the_rows_stand_below_each_other() -> None:
    def named(name: str) -> KubeObject:
        return KubeObject.from_dict({"metadata": {"name": name, "namespace": "default"}}, DEPLOYMENTS)

    printer = DiffPrinter(TablePrinter(DEPLOYMENTS, marked=True, namespaced=False))
    header, *rows = printer.lines([Change("", named("a")), Change("", named("a-longer-name"))]).splitlines()
    assert {row.index("0/0") for row in rows} == {header.index("READY")}


def test_in_a_terminal_no_line_is_longer_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    old, new = secret("b25l"), KubeObject.from_dict({**secret().to_dict(), "type": "x" * 500}, SECRETS)
    printer = DiffPrinter(TablePrinter(SECRETS, marked=True, namespaced=False), color=True)
    lines = printer.lines([Change("MODIFIED", new, old)]).splitlines()
    (long,) = [line for line in lines if "type" in line]
    assert long == "\x1b[32m" + ("    + type: " + "x" * 500)[:59] + "…\x1b[0m"
    old, new = (KubeObject.from_dict({**secret().to_dict(), "type": end * 40}, SECRETS) for end in ("ab", "cd"))
    changed = printer.lines([Change("MODIFIED", new, old)]).splitlines()[1:]
    assert changed == [
        "\x1b[33m    ~ type:\x1b[0m",
        "\x1b[31m        - " + "ab" * 24 + "a…\x1b[0m",
        "\x1b[32m        + " + "cd" * 24 + "c…\x1b[0m",
    ]


def forms(*, show_secrets: bool) -> dict[str, Printer]:
    template = JsonPath("{.data.password}{.metadata.annotations}")
    return {
        "json": JsonPrinter(marked=False, show_secrets=show_secrets),
        "yaml": YamlPrinter(marked=True, show_secrets=show_secrets),
        "jsonpath": JsonPathPrinter(template, as_list=False, show_secrets=show_secrets),
        "diff": DiffPrinter(TablePrinter(SECRETS, marked=True, namespaced=False), show_secrets=show_secrets),
    }


@pytest.mark.parametrize("form", forms(show_secrets=False))
def test_the_values_of_secrets_are_shown_only_when_asked_for(form: str) -> None:
    change = Change("MODIFIED", secret(), secret("b25l"))
    hidden = forms(show_secrets=False)[form].lines([change])
    assert "aHVudGVyMg" not in hidden
    assert "b25l" not in hidden
    assert "not shown" in hidden
    assert "aHVudGVyMg" in forms(show_secrets=True)[form].lines([change])


def test_yaml_is_a_document_per_object_and_reads_back() -> None:
    obj = KubeObject.from_dict(
        {"metadata": {"name": "a", "namespace": "default"}, "data": {"text": "two\nlines\n", "b": "ü", "n": "1"}},
        CONFIGMAPS,
    )
    printed = YamlPrinter(marked=True).lines([Change("MODIFIED", obj), Change("DELETED", obj)])
    assert printed.startswith("---\n# MODIFIED default/a\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n")
    assert "  text: |\n    two\n    lines\n" in printed
    assert "ü" in printed
    documents = [*yaml.safe_load_all(printed)]
    assert documents == [{"apiVersion": "v1", "kind": "ConfigMap"} | obj.to_dict()] * 2


def test_a_template_is_filled_in_per_object_or_with_all_of_them() -> None:
    changes = [Change("", deployment(1, "1")), Change("", deployment(2, "2"))]
    each = JsonPathPrinter(JsonPath("{.kind}/{.metadata.name} {.spec.replicas}"), as_list=False)
    assert each.lines(changes) == "Deployment/web 1\nDeployment/web 2\n"
    together = JsonPathPrinter(JsonPath("{.items[*].spec.replicas}"), as_list=True)
    assert together.lines(changes) == "1 2\n"


def test_names_are_kubectl_s() -> None:
    assert (
        NamePrinter().lines([Change("", deployment(1, "1")), Change("", secret())]) == "deployment.apps/web\nsecret/s\n"
    )


def test_json_in_a_watch_is_an_event_of_the_api() -> None:
    (line,) = JsonPrinter(marked=True).lines([Change("DELETED", deployment(1, "1"))]).splitlines()
    assert json.loads(line)["type"] == "DELETED"
