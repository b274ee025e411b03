"""Tables of the embedded server: what `kubectl get` shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.http.cells import age
from kinformer.testing._apiserver.http.tables import to_table
from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

NOW = datetime(2026, 11, 23, 8, 48, 13, tzinfo=UTC)
AN_HOUR_AGO = "2026-11-23T07:48:13Z"
TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"}
MINUTE, HOUR, DAY = 60, 3600, 86400


def built_in(group: str, version: str, plural: str) -> ResourceType:
    found = Catalog().lookup(group, version, plural)
    assert found is not None
    return found


def custom(*columns: dict[str, Any]) -> ResourceType:
    (found,) = Catalog().add_crd(
        {
            "metadata": {"name": "widgets.x.io"},
            "spec": {
                "group": "x.io",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": True, "additionalPrinterColumns": [*columns]}],
            },
        }
    )
    return found


def shown(kind: ResourceType, **fields: Any) -> dict[str, Any]:
    """The cells of one object by the names of their columns."""
    metadata = {"name": "it", "creationTimestamp": AN_HOUR_AGO} | fields.pop("metadata", {})
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    table = to_table(kind, [head | fields], {}, now=NOW)
    (row,) = table["rows"]
    return dict(zip((column["name"] for column in table["columnDefinitions"]), row["cells"], strict=False))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (-5, "<invalid>"),
        (119, "119s"),
        (120, "2m"),
        (2 * MINUTE + 5, "2m5s"),
        (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE + 30, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (7 * HOUR + 59 * MINUTE, "7h59m"),
        (8 * HOUR + 30 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (7 * DAY + 23 * HOUR, "7d23h"),
        (8 * DAY + 5 * HOUR, "8d"),
        (729 * DAY, "729d"),
        (730 * DAY, "2y"),
        (740 * DAY, "2y10d"),
        (8 * 365 * DAY + 40 * DAY, "8y"),
    ],
)
def test_an_age_gets_coarser_as_it_grows(seconds: int, text: str) -> None:
    # apimachinery pkg/util/duration: HumanDuration
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


@pytest.mark.parametrize("never", [None, "", 5])
def test_what_has_no_time_has_no_age(never: Any) -> None:
    assert age(never, NOW) == "<unknown>"


@pytest.mark.parametrize("text", ["yesterday", "2026-11-23", "2026-11-23T08:48:13"])
def test_what_is_no_time_has_an_invalid_age(text: str) -> None:
    assert age(text, NOW) == "<invalid>"


def test_a_pod_shows_what_its_containers_do() -> None:
    running = {"ready": True, "restartCount": 2, "state": {"running": {}}}
    crashed = {"ready": False, "restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    cells = shown(
        built_in("", "v1", "pods"),
        spec={"nodeName": "node-1", "containers": [{"name": "a"}, {"name": "b"}]},
        status={"phase": "Running", "podIPs": [{"ip": "10.0.0.9"}], "containerStatuses": [running, crashed]},
    )
    assert cells == {
        "Name": "it",
        "Ready": "1/2",
        "Status": "CrashLoopBackOff",
        "Restarts": "7",
        "Age": "60m",
        "IP": "10.0.0.9",
        "Node": "node-1",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


@pytest.mark.parametrize(
    ("status", "metadata", "text"),
    [
        ({"phase": "Pending"}, {}, "Pending"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, "Evicted"),
        (
            {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]},
            {},
            "Completed",
        ),
        ({"phase": "Running"}, {"deletionTimestamp": AN_HOUR_AGO}, "Terminating"),
        ({"phase": "Running", "containerStatuses": None}, {}, "Running"),
    ],
)
def test_a_pod_has_the_status_that_says_most(status: Any, metadata: Any, text: str) -> None:
    assert shown(built_in("", "v1", "pods"), status=status, metadata=metadata)["Status"] == text


@pytest.mark.parametrize(
    ("group_version", "plural", "fields", "cells"),
    [
        (
            *("/v1", "nodes"),
            {
                "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0"},
                    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                },
            },
            {
                "Status": "Ready,SchedulingDisabled",
                "Roles": "edge,worker",
                "Version": "v1.36.0",
                "Internal-IP": "10.0.0.1",
                "External-IP": "<none>",
            },
        ),
        (
            *("/v1", "nodes"),
            {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"Status": "NotReady", "Roles": "<none>"},
        ),
        (*("/v1", "nodes"), {}, {"Status": "Unknown"}),
        (
            *("/v1", "services"),
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIPs": ["10.96.0.7"],
                    "selector": {"app": "web"},
                    "ports": [
                        {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                        {"port": 53, "protocol": "UDP"},
                    ],
                }
            },
            {
                "Type": "NodePort",
                "Cluster-IP": "10.96.0.7",
                "External-IP": "<none>",
                "Port(s)": "80:30080/TCP,53/UDP",
                "Selector": "app=web",
            },
        ),
        (*("/v1", "configmaps"), {"data": {"a": "1"}, "binaryData": {"b": "2"}}, {"Data": 2}),
        (*("/v1", "secrets"), {"type": "Opaque", "data": {"a": "MQ=="}}, {"Type": "Opaque", "Data": 1}),
        (*("/v1", "secrets"), {"type": "Opaque", "data": None}, {"Data": 0}),
        (*("/v1", "namespaces"), {"status": {"phase": "Active"}}, {"Status": "Active"}),
        (
            *("/v1", "endpoints"),
            {"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]},
            {"Endpoints": "10.0.0.1:80,10.0.0.2:80"},
        ),
        (
            *("/v1", "events"),
            {"lastTimestamp": AN_HOUR_AGO, "involvedObject": {"kind": "Pod", "name": "web"}, "reason": "Killing"},
            {"Last Seen": "60m", "Object": "pod/web", "Reason": "Killing", "Name": "it"},
        ),
        (
            *("apps/v1", "deployments"),
            {"spec": {"replicas": 3}, "status": {"readyReplicas": 1, "updatedReplicas": 2}},
            {"Ready": "1/3", "Up-to-date": 2, "Available": 0, "Containers": "", "Selector": ""},
        ),
        (*("batch/v1", "jobs"), {"spec": {"completions": 2}, "status": {"succeeded": 1}}, {"Completions": "1/2"}),
        (
            *("batch/v1", "cronjobs"),
            {"spec": {"schedule": "* * * * *", "suspend": False}, "status": {"active": [{}]}},
            {"Schedule": "* * * * *", "Suspend": "False", "Active": 1, "Last Schedule": "<none>"},
        ),
        (
            *("networking.k8s.io/v1", "ingresses"),
            {"spec": {"ingressClassName": "nginx", "rules": [{"host": "a.io"}, {}]}},
            {"Class": "nginx", "Hosts": "a.io", "Address": "", "Ports": "80"},
        ),
        (*("rbac.authorization.k8s.io/v1", "roles"), {}, {"Name": "it", "Created At": AN_HOUR_AGO}),
    ],
)
def test_a_built_in_resource_shows_its_columns(
    group_version: str, plural: str, fields: dict[str, Any], cells: dict[str, Any]
) -> None:
    group, _, version = group_version.rpartition("/")
    found = shown(built_in(group, version, plural), **fields)
    assert {name: found.get(name, "no such column") for name in cells} == cells


def test_every_resource_can_be_shown_with_nothing_but_its_name() -> None:
    for kind in Catalog().all_types():
        assert "it" in shown(kind).values(), kind


def test_every_resource_can_be_shown_when_what_it_counts_is_null() -> None:
    nothing = {"spec": None, "status": None, "data": None, "subsets": None, "ports": None, "endpoints": None}
    for kind in Catalog().all_types():
        assert "it" in shown(kind, **nothing).values(), kind


def test_a_row_has_a_cell_for_each_column() -> None:
    # A real server sends the age of an IPAddress, for which the table has no column.
    for kind in Catalog().all_types():
        table = to_table(kind, [{"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}}], {}, now=NOW)
        more = 1 if kind.plural == "ipaddresses" else 0
        assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"]) + more, kind


def test_the_wide_columns_have_a_priority() -> None:
    table = to_table(built_in("", "v1", "pods"), [], {}, now=NOW)
    # list-table.json
    assert [(c["name"], c["type"], c["format"], c["priority"]) for c in table["columnDefinitions"]] == [
        ("Name", "string", "name", 0),
        ("Ready", "string", "", 0),
        ("Status", "string", "", 0),
        ("Restarts", "string", "", 0),
        ("Age", "string", "", 0),
        ("IP", "string", "", 1),
        ("Node", "string", "", 1),
        ("Nominated Node", "string", "", 1),
        ("Readiness Gates", "string", "", 1),
    ]


# Custom resources


def test_a_custom_resource_without_columns_shows_its_name_and_age() -> None:
    assert shown(custom()) == {"Name": "it", "Age": "60m"}


@pytest.mark.parametrize(
    ("path", "cell"),
    [
        (".spec.size", 3),
        (".spec.absent", None),
        (".spec.absent.below", None),
        (".spec.size.below", None),
        (".spec.list[1]", 20),
        (".spec.list[9]", None),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        (".status.conditions[?(@.type=='Absent')].status", None),
        (r".metadata.annotations.x\.io/note", "noted"),
        (".metadata.annotations['x.io/note']", "noted"),
    ],
)
def test_a_column_shows_what_its_path_leads_to(path: str, cell: Any) -> None:
    kind = custom({"name": "It", "type": "integer" if isinstance(cell, int) else "string", "jsonPath": path})
    found = shown(
        kind,
        metadata={"annotations": {"x.io/note": "noted"}},
        spec={"size": 3, "list": [10, 20]},
        status={"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
    )
    assert found["It"] == cell


@pytest.mark.parametrize(
    ("column_type", "value", "cell"),
    [
        ("string", "text", "text"),
        ("string", 5, "5"),
        ("string", True, "true"),
        ("string", {"a": [1, "b"]}, '{"a":[1,"b"]}'),
        ("string", None, None),
        ("integer", 5, 5),
        ("integer", 5.7, 5),
        ("integer", "5", None),
        ("integer", True, None),
        ("number", 5.7, 5.7),
        ("number", "x", None),
        ("boolean", False, False),
        ("boolean", "false", None),
        ("date", AN_HOUR_AGO, "60m"),
        ("date", "yesterday", "<invalid>"),
        ("date", None, None),
        ("date", 5, None),
    ],
)
def test_a_column_shows_only_values_of_its_type(column_type: str, value: Any, cell: Any) -> None:
    # apiextensions-apiserver pkg/registry/customresource/tableconvertor
    kind = custom({"name": "It", "type": column_type, "jsonPath": ".spec.it"})
    found = shown(kind, spec={"it": value})["It"]
    assert found == cell
    assert type(found) is type(cell)


def test_a_column_has_the_format_the_description_and_the_priority_of_its_definition() -> None:
    column = {
        "name": "It",
        "type": "integer",
        "format": "int32",
        "description": "How many.",
        "priority": 1,
        "jsonPath": ".spec.it",
    }
    definitions = to_table(custom(column), [], {}, now=NOW)["columnDefinitions"]
    assert definitions[1] == {k: v for k, v in column.items() if k != "jsonPath"}


async def test_a_list_an_object_and_a_page_can_be_had_as_tables() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url, headers=TABLE) as http:
        for name in ("a", "b"):
            server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {name: "1"}})
        path = "/api/v1/namespaces/default/configmaps"
        async with http.get(path) as response:
            table = await response.json()
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert table["metadata"] == {"resourceVersion": str(server.resource_version)}
        assert [row["cells"][:2] for row in table["rows"]] == [["a", 1], ["b", 1]]
        about = table["rows"][0]["object"]
        assert (about["kind"], about["metadata"]["name"], "data" in about) == ("PartialObjectMetadata", "a", False)
        async with http.get(f"{path}/b") as response:
            assert [row["cells"][0] for row in (await response.json())["rows"]] == ["b"]
        async with http.get(f"{path}?limit=1") as response:
            page = await response.json()
        assert (len(page["rows"]), page["metadata"]["remainingItemCount"]) == (1, 1)
        assert page["metadata"]["continue"]
