"""Resources: names as kubectl takes them, and the paths of the API."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import TYPE_CHECKING

import msgspec
import pytest

from kinformer import KubeObject, Resource
from kinformer.errors import UnknownResourceError
from kinformer.resources import BUILTIN, DEPLOYMENTS, EVENTS, NODES, PODS, find_resource

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((PODS,), "/api/v1/pods"),
        ((PODS, "default"), "/api/v1/namespaces/default/pods"),
        ((PODS, "default", "web-0", "status"), "/api/v1/namespaces/default/pods/web-0/status"),
        ((NODES, None, "node-1"), "/api/v1/nodes/node-1"),
        ((DEPLOYMENTS, "shop", "web"), "/apis/apps/v1/namespaces/shop/deployments/web"),
    ],
)
def test_a_path_is_that_of_the_api(arguments: tuple[Resource, str], path: str) -> None:
    resource, *parts = arguments
    assert resource.path(*parts) == path


@pytest.mark.parametrize(
    ("resource", "parts", "why"),
    [
        (NODES, ("default",), "cluster-scoped"),
        (PODS, (None, "web-0"), "live in namespaces"),
        (PODS, ("default", "../secrets"), "cannot be part of the URL"),
        (PODS, ("a/b",), "cannot be part of the URL"),
        (PODS, ("default", "a%2fb"), "cannot be part of the URL"),
        (PODS, ("default", "web-0", ".."), "cannot be part of the URL"),
    ],
)
def test_a_part_that_would_lead_elsewhere_is_refused(resource: Resource, parts: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        resource.path(*parts)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("pods", PODS),
        ("po", PODS),
        ("Pod", PODS),
        ("deployments.apps", DEPLOYMENTS),
        ("deploy.v1.apps", DEPLOYMENTS),
        ("ev", EVENTS),
        ("deployments.example.com", None),
        ("pods.v2", None),
        ("nonsense", None),
    ],
)
def test_a_name_means_what_it_means_to_kubectl(name: str, resource: Resource | None) -> None:
    assert find_resource(name) == resource


@pytest.mark.parametrize("name", ["", " ", "pods.", "."])
def test_a_name_with_an_empty_part_is_refused(name: str) -> None:
    with pytest.raises(UnknownResourceError, match="is no resource name"):
        find_resource(name)


@pytest.mark.parametrize("resource", BUILTIN, ids=lambda resource: resource.full_name)
def test_each_builtin_resource_is_found_by_its_full_name(resource: Resource) -> None:
    assert find_resource(resource.full_name) is resource
    assert resource.full_name == str(resource)


@pytest.mark.parametrize(
    "arguments",
    [
        ("Example", "v1", "widgets", "Widget"),
        ("", "1", "pods", "Pod"),
        ("", "v1", "Pods", "Pod"),
        ("", "v1", "pods", ""),
    ],
)
def test_a_resource_that_cannot_be_part_of_a_url_is_refused(arguments: tuple[str, str, str, str]) -> None:
    with pytest.raises(ValueError, match="expected|needs its kind"):
        Resource(*arguments)


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps])
def test_no_encoder_writes_the_fields_in_memory_in_place_of_the_manifest(encode: Callable[[object], object]) -> None:
    obj = KubeObject.from_dict({"metadata": {"name": "a"}, "spec": {"x": 1}}, NODES)
    for each in (obj, [obj], {"obj": obj}):
        with pytest.raises(TypeError, match="KubeObject"):
            encode(each)
    _ = obj["spec"]
    with pytest.raises(TypeError, match="KubeObject"):
        encode(obj)


def test_a_resource_is_the_same_after_a_copy_and_a_pickle() -> None:
    for again in (copy.deepcopy(PODS), pickle.loads(pickle.dumps(PODS)), dataclasses.replace(PODS)):
        assert (again, again.kind, repr(again)) == (PODS, "Pod", repr(PODS))
