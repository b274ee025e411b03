"""Which requests a proxy answers from a cache, and which ones the API server has to answer."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.objects import KubeObject
from kinformer.proxy._selection import asked_form, place_of, place_of_any, read_options
from kinformer.resources import DEPLOYMENTS, NODES, PODS

PARTIAL = "application/json;as=PartialObjectMetadata"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "whole"),
        ("*/*", "whole"),
        ("application/json", "whole"),
        ("application/json;stream=watch, */*", "whole"),
        ("application/vnd.kubernetes.protobuf,application/json", "whole"),
        ("application/vnd.kubernetes.protobuf", "other"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "other"),
        (f"{PARTIAL};g=meta.k8s.io;v=v1", "metadata"),
        (f"application/vnd.kubernetes.protobuf,{PARTIAL}List;v=v1;g=meta.k8s.io", "metadata"),
        (f"{PARTIAL};g=meta.k8s.io;v=v1beta1", "other"),
        (PARTIAL, "other"),
        ("application/yaml", "other"),
    ],
)
def test_only_forms_in_json_are_answered(accept: str, form: str) -> None:
    assert asked_form(accept) == form


@pytest.mark.parametrize(
    ("path", "whole", "namespace"),
    [
        ("/api/v1/pods", "/api/v1/pods", ""),
        ("/api/v1/namespaces/shop/pods", "/api/v1/pods", "shop"),
        ("/apis/apps/v1/namespaces/shop/deployments", "/apis/apps/v1/deployments", "shop"),
        ("/api/v1/namespaces", "/api/v1/namespaces", ""),
    ],
)
def test_the_path_of_any_list_is_read(path: str, whole: str, namespace: str) -> None:
    assert place_of_any(path) == (whole, namespace)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/shop",
        "/api/v1/namespaces/shop/pods/web-0",
        "/api/v1/namespaces/shop/pods/web-0/log",
        "/api/v1/nodes/node-1",
        "/apis/apps/v1",
        "/api/v1/namespaces/%2e%2e/pods",
        "/version",
    ],
)
def test_a_path_that_is_no_list_is_none(path: str) -> None:
    assert place_of_any(path) is None


@pytest.mark.parametrize(
    ("path", "resource", "namespace"),
    [
        ("/api/v1/pods", PODS, ""),
        ("/api/v1/namespaces/shop/pods", PODS, "shop"),
        ("/apis/apps/v1/namespaces/shop/deployments", DEPLOYMENTS, "shop"),
        ("/api/v1/nodes", NODES, ""),
        ("/api/v1/namespaces/shop/nodes", NODES, None),
        ("/api/v1/namespaces/shop/pods/web-0", PODS, None),
        ("/api/v1/namespaces/a/b/pods", PODS, None),
        ("/api/v1/namespaces/a%2Fb/pods", PODS, None),
        ("/api/v1/namespaces//pods", PODS, None),
        ("/api/v1/namespaces/pods", PODS, None),
        ("/api/v1/pods/", PODS, None),
        ("/apis/apps/v1/deployments", PODS, None),
    ],
)
def test_a_path_is_a_list_of_a_resource_in_a_namespace(path: str, resource: Any, namespace: str | None) -> None:
    assert place_of(path, resource) == namespace


def options(**query: str) -> Any:
    return read_options(PODS, "", [*query.items()])


@pytest.mark.parametrize(
    "query",
    [
        {"continue": "x"},
        {"pretty": "true"},
        {"shardSelector": "x"},
        {"labelSelector": "in in ("},
        {"fieldSelector": "status.podIP=1.2.3.4"},
        {"resourceVersion": "abc"},
        {"resourceVersion": "-1"},
        {"resourceVersion": "5", "resourceVersionMatch": "Exact"},
        {"resourceVersion": "5", "limit": "10"},
        {"resourceVersionMatch": "NotOlderThan"},
        {"sendInitialEvents": "true"},
        {"watch": "maybe"},
        {"watch": "1", "sendInitialEvents": "true"},
        {"watch": "1", "resourceVersionMatch": "NotOlderThan"},
        {"watch": "1", "resourceVersionMatch": "Exact", "sendInitialEvents": "1"},
    ],
)
def test_what_is_not_certain_is_left_to_the_api_server(query: dict[str, str]) -> None:
    assert options(**query) is None


def test_an_option_that_comes_twice_is_left_to_the_api_server() -> None:
    assert read_options(PODS, "", [("labelSelector", "a=b"), ("labelSelector", "c=d")]) is None


def test_lists_that_are_answered() -> None:
    assert options().version == 0
    assert options(resourceVersion="0", limit="500").version == 0
    assert options(resourceVersion="5", resourceVersionMatch="NotOlderThan", limit="500").version == 5
    assert options(resourceVersion="5").version == 5


def test_watches_that_are_answered() -> None:
    assert options(watch="1", resourceVersion="5").present_first is False
    assert options(watch="true").present_first
    assert options(watch="true", resourceVersion="0").present_first
    stream = options(
        watch="1", resourceVersion="5", resourceVersionMatch="NotOlderThan", sendInitialEvents="true",
        allowWatchBookmarks="true", timeoutSeconds="300",
    )  # fmt: skip
    assert (stream.present_first, stream.initial_events, stream.bookmarks) == (True, True, True)
    assert (stream.version, stream.timeout_seconds) == (5, 300)


def pod(namespace: str, name: str, node: str = "", **labels: str) -> KubeObject:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    spec = {"nodeName": node} if node else {}
    return KubeObject.from_dict({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}, PODS)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "abc"),
        ({"labelSelector": "app=web"}, "ac"),
        ({"labelSelector": "app in (db),app"}, "b"),
        ({"fieldSelector": "metadata.name=a"}, "a"),
        ({"fieldSelector": "metadata.namespace!=shop"}, "c"),
        ({"fieldSelector": "spec.nodeName=n1"}, "a"),
        ({"fieldSelector": "spec.nodeName="}, "bc"),
        ({"fieldSelector": "status.phase=Running", "labelSelector": "app=db"}, "b"),
        ({"fieldSelector": "status.phase!=Running"}, ""),
    ],
)
def test_labels_and_fields_select(query: dict[str, str], names: str) -> None:
    pods = [pod("shop", "a", "n1", app="web"), pod("shop", "b", app="db"), pod("ops", "c", app="web")]
    selection = options(**query).selection
    assert "".join(each.name for each in pods if selection.selects(each)) == names
    assert selection.is_whole is (not query)


def test_a_namespace_selects() -> None:
    found = read_options(PODS, "shop", [])
    assert found is not None
    assert [found.selection.selects(pod(namespace, "a")) for namespace in ("shop", "ops")] == [True, False]
    assert not found.selection.is_whole
