"""The tables of Kubernetes 1.37 have a cell for each of their columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kinformer.testing._apiserver.http.tables import to_table
from kinformer.testing._apiserver.store.catalog import Catalog

NOW = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)
ADDED = "2026-11-27T05:00:00Z"
TRUE, FALSE = "True", "False"
METADATA = {"name": "a", "creationTimestamp": ADDED}


@pytest.mark.parametrize(
    ("group", "plural", "manifest", "cells"),
    [
        ("certificates.k8s.io", "clustertrustbundles", {}, ["a", "<none>"]),
        (
            "certificates.k8s.io",
            "podcertificaterequests",
            {"spec": {"podName": "p", "nodeName": "n"}, "status": {"conditions": [{"type": "Denied"}]}},
            ["a", "p", "", "n", "", "Denied", "<none>"],
        ),
        (
            "resource.k8s.io",
            "devicetaintrules",
            {"spec": {"taint": {"key": "k", "effect": "NoExecute", "timeAdded": ADDED}}},
            ["a", "k", "", "NoExecute", "60m", "60m"],
        ),
        (
            "storagemigration.k8s.io",
            "storageversionmigrations",
            {
                "spec": {"resource": {"group": "apps", "resource": "deployments"}},
                "status": {"conditions": [{"type": "Running", "status": FALSE}, {"type": "Failed", "status": TRUE}]},
            },
            ["a", "deployments.apps", "Failed"],
        ),
        (
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            {
                "spec": {
                    "group": "example.com",
                    "scope": "Namespaced",
                    "names": {"kind": "Widget", "shortNames": ["wd", "wdg"]},
                    "versions": [
                        {"name": "v2", "served": True},
                        {"name": "v1", "served": True, "storage": True},
                        {"name": "v0", "served": False},
                    ],
                },
                "status": {"conditions": [{"type": "Established", "status": TRUE}]},
            },
            ["a", "Namespaced", "v1(storage),v2", ADDED, "example.com", "Widget", "wd,wdg", True],
        ),
    ],
)
def test_a_row_has_a_cell_for_each_column(
    group: str, plural: str, manifest: dict[str, object], cells: list[object]
) -> None:
    kind = Catalog("1.37").lookup(group, "v1", plural)
    assert kind is not None
    table = to_table(
        kind, [{"apiVersion": kind.api_version, "kind": kind.kind, "metadata": METADATA, **manifest}], {}, now=NOW
    )
    assert table["rows"][0]["cells"] == cells
    assert len(table["columnDefinitions"]) == len(cells)


def test_the_table_of_crds_is_that_of_1_36_on_a_server_of_1_36() -> None:
    kind = Catalog("1.36").lookup("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert kind is not None
    table = to_table(kind, [{"apiVersion": kind.api_version, "kind": kind.kind, "metadata": METADATA}], {}, now=NOW)
    assert table["rows"][0]["cells"] == ["a", ADDED]
