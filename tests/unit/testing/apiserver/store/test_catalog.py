"""Which resources the embedded server has, by discovery, and as custom resource definitions come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CRD = "CustomResourceDefinition"
EXTENSIONS = "apiextensions.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(
    *versions: str, plural: str = "widgets", kind: str = "Widget", scope: str = "Namespaced", **names: Any
) -> dict[str, Any]:
    """A CRD of these versions; the first is stored, and one that begins with "-" is not served."""
    return {
        "apiVersion": EXTENSIONS,
        "kind": CRD,
        "metadata": {"name": f"{plural}.x.io"},
        "spec": {
            "group": "x.io",
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": [
                {
                    "name": version.removeprefix("-"),
                    "served": not version.startswith("-"),
                    "storage": index == 0,
                    "schema": {"openAPIV3Schema": ANYTHING},
                    "subresources": {"status": {}},
                }
                for index, version in enumerate(versions)
            ],
        },
    }


def widget(version: str = "v1", name: str = "w", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"x.io/{version}", "kind": "Widget", "metadata": {"name": name}, **fields}


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


async def got(http: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None) -> Any:
    async with http.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def groups(http: aiohttp.ClientSession) -> dict[str, list[str]]:
    """The versions of each group in plain discovery, checked to be the same in aggregated discovery."""
    plain = {
        group["name"]: [version["version"] for version in group["versions"]]
        for group in (await got(http, "/apis"))["groups"]
    }
    aggregated = {
        group["metadata"]["name"]: [version["version"] for version in group["versions"]]
        for group in (await got(http, "/apis", AGGREGATED))["items"]
    }
    assert plain == aggregated
    return plain


# Built-in resources


def test_a_resource_is_found_by_its_name_and_by_its_kind() -> None:
    catalog = Catalog()
    pods = catalog.lookup("", "v1", "pods")
    assert pods is catalog.of_kind("v1", "Pod")
    assert pods is not None
    assert (pods.kind, pods.namespaced, pods.short_names, pods.custom) == ("Pod", True, ("po",), False)
    assert {"status", "log", "exec", "eviction"} <= set(pods.subresources)
    for group, version, plural in [("", "v1", "nosuch"), ("", "v2", "pods"), ("apps", "v1", "pods")]:
        assert catalog.lookup(group, version, plural) is None


def test_two_versions_of_a_resource_are_stored_together() -> None:
    catalog = Catalog()
    versions = catalog.versions_of(("autoscaling", "horizontalpodautoscalers"))
    assert {found.version for found in versions} == {"v1", "v2"}
    assert len({found.storage for found in versions}) == 1


async def test_plain_and_aggregated_discovery_tell_the_same_resources(http: aiohttp.ClientSession) -> None:
    for document in (await got(http, "/apis", AGGREGATED))["items"]:
        group = document["metadata"]["name"]
        for version in document["versions"]:
            listed = (await got(http, f"/apis/{group}/{version['version']}"))["resources"]
            plain = {resource["name"] for resource in listed if "/" not in resource["name"]}
            assert plain == {resource["resource"] for resource in version["resources"]}


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/api/v1/nosuchthings", 404, "the server could not find the requested resource"),
        ("/api/v1/namespaces/default/nodes", 404, "the server could not find the requested resource"),
        ("/api/v1/namespaces/default/pods/p/nosuch", 404, "the server could not find the requested resource"),
        ("/api/v2", 404, "404 page not found"),
        ("/apis/no.such", 404, "404 page not found"),
        ("/apis/no.such/v1/things", 404, "404 page not found"),
        ("/nosuch", 404, "404 page not found"),
    ],
)
async def test_what_is_not_served_is_404(http: aiohttp.ClientSession, path: str, code: int, text: str) -> None:
    async with http.get(path) as response:
        assert response.status == code
        assert text in await response.text()


# Definitions


async def test_a_definition_is_served_as_soon_as_it_is_posted(http: aiohttp.ClientSession) -> None:
    async with http.get("/apis/x.io/v1/widgets") as response:
        assert response.status == 404
    names: dict[str, Any] = {"singular": "gizmo", "shortNames": ["wd"], "categories": ["all"], "listKind": "Widgets"}
    async with http.post(f"/apis/{EXTENSIONS}/customresourcedefinitions", json=definition("v1", **names)) as response:
        assert response.status == 201
    assert (await groups(http))["x.io"] == ["v1"]
    listed = await got(http, "/apis/x.io/v1/widgets")
    assert (listed["kind"], listed["apiVersion"], listed["items"]) == ("Widgets", "x.io/v1", [])
    resources = (await got(http, "/apis/x.io/v1"))["resources"]
    assert [resource["name"] for resource in resources] == ["widgets", "widgets/status"]
    widgets = resources[0]
    assert (widgets["kind"], widgets["singularName"], widgets["namespaced"]) == ("Widget", "gizmo", True)
    assert (widgets["shortNames"], widgets["categories"]) == (["wd"], ["all"])
    assert {"list", "watch", "create", "deletecollection"} <= set(widgets["verbs"])


async def test_a_deleted_definition_takes_its_objects_and_its_group_along(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(definition("v1"))
    server.create(widget())
    async with http.delete(f"/apis/{EXTENSIONS}/customresourcedefinitions/widgets.x.io") as response:
        assert response.status == 200
    assert "x.io" not in await groups(http)
    async with http.get("/apis/x.io/v1/widgets") as response:
        # list-crd-removed.json
        assert (response.status, await response.text()) == (404, "404 page not found\n")
    with pytest.raises(ValueError, match="the server has no kind 'Widget' in 'x.io/v1'; post its"):
        server.create(widget())
    server.create(definition("v1"))
    assert server.list("x.io/v1", "Widget") == []


def test_objects_that_own_each_other_go_with_their_definition(server: ApiServer) -> None:
    server.create(definition("v1"))
    owner = server.create(widget(name="a"))
    reference = {"apiVersion": "x.io/v1", "kind": "Widget", "name": "a", "uid": owner["metadata"]["uid"]}
    child = widget(name="b")
    server.create(child | {"metadata": child["metadata"] | {"ownerReferences": [reference]}})
    server.delete(EXTENSIONS, CRD, "widgets.x.io")
    server.create(definition("v1"))
    assert server.list("x.io/v1", "Widget") == []


async def test_a_group_stays_as_long_as_one_of_its_definitions_does(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(definition("v1"))
    server.create(definition("v1", plural="gadgets", kind="Gadget"))
    server.delete(EXTENSIONS, CRD, "widgets.x.io")
    assert (await groups(http))["x.io"] == ["v1"]
    async with http.get("/apis/x.io/v1/widgets") as response:
        assert (response.status, (await response.json())["reason"]) == (404, "NotFound")
    assert (await got(http, "/apis/x.io/v1/gadgets"))["kind"] == "GadgetList"


async def test_a_definition_with_finalizers_is_served_until_they_are_gone(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    held = definition("v1")
    held["metadata"]["finalizers"] = ["x.io/hold"]
    server.create(held)
    server.delete(EXTENSIONS, CRD, "widgets.x.io")
    assert (await got(http, "/apis/x.io/v1/widgets"))["items"] == []
    server.patch(EXTENSIONS, CRD, "widgets.x.io", {"metadata": {"finalizers": None}})
    assert "x.io" not in await groups(http)


@pytest.mark.parametrize(
    ("given", "served"),
    [
        (("v1alpha1", "v1"), ["v1", "v1alpha1"]),
        (("v1", "v2"), ["v2", "v1"]),
        (("v1beta1", "v1beta2", "v2alpha1", "v10", "v2"), ["v10", "v2", "v1beta2", "v1beta1", "v2alpha1"]),
        (("old", "v1", "foo"), ["v1", "foo", "old"]),
        (("-v2", "v1"), ["v1"]),
    ],
)
async def test_the_most_stable_and_newest_version_is_preferred(
    http: aiohttp.ClientSession, server: ApiServer, given: tuple[str, ...], served: list[str]
) -> None:
    server.create(definition(*given))
    assert (await groups(http))["x.io"] == served
    group = await got(http, "/apis/x.io")
    assert group["preferredVersion"] == {"groupVersion": f"x.io/{served[0]}", "version": served[0]}


async def test_a_version_that_is_added_shows_the_same_objects(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(definition("v1"))
    made = server.create(widget(spec={"size": 1}))
    server.update(definition("v1", "v2"))
    (seen,) = (await got(http, "/apis/x.io/v2/widgets"))["items"]
    assert seen == made | {"apiVersion": "x.io/v2"}
    (before,) = (await got(http, "/apis/x.io/v1/widgets"))["items"]
    assert before == made


async def test_an_object_can_be_changed_in_any_version_and_only_changes_of_its_spec_count(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(definition("v1", "v2"))
    made = server.create(widget("v1", spec={"size": 1}))
    path = "/apis/x.io/v2/namespaces/default/widgets/w"
    async with http.put(path, json=made | {"apiVersion": "x.io/v2"}) as response:
        assert (await response.json())["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    async with http.patch(path, json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE) as response:
        labelled = await response.json()
    assert (labelled["apiVersion"], labelled["metadata"]["generation"]) == ("x.io/v2", 1)
    async with http.patch(path, json={"spec": {"size": 2}}, headers=MERGE) as response:
        assert (await response.json())["metadata"]["generation"] == 2
    assert server.get("x.io/v1", "Widget", "w")["spec"] == {"size": 2}


async def test_a_version_that_is_taken_away_is_404_and_the_objects_stay(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(definition("v1", "v2"))
    server.create(widget("v1"))
    server.update(definition("v2", "v1"))
    server.update(definition("v2", "v1") | {"status": {"storedVersions": ["v2"]}}, subresource="status")
    server.update(definition("v2"))
    async with http.get("/apis/x.io/v1/widgets") as response:
        assert response.status == 404
    assert (await groups(http))["x.io"] == ["v2"]
    (left,) = (await got(http, "/apis/x.io/v2/widgets"))["items"]
    assert (left["apiVersion"], left["metadata"]["name"]) == ("x.io/v2", "w")


async def test_a_definition_that_comes_back_with_another_version_has_no_objects_left(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(definition("v1"))
    server.create(widget("v1"))
    server.delete(EXTENSIONS, CRD, "widgets.x.io")
    server.create(definition("v2"))
    assert (await got(http, "/apis/x.io/v2/widgets"))["items"] == []
    async with http.get("/apis/x.io/v1/widgets") as response:
        assert response.status == 404


def test_objects_that_no_version_serves_go_with_their_namespace_and_with_their_definition(server: ApiServer) -> None:
    server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
    server.create(definition("v1"))
    for space in ("web", "default"):
        server.create(widget("v1") | {"metadata": {"name": "w", "namespace": space}})
    server.update(definition("-v1"))
    server.delete("v1", "Namespace", "web")
    with pytest.raises(Refusal):
        server.get("v1", "Namespace", "web")
    server.update(definition("v1"))
    assert [item["metadata"]["namespace"] for item in server.list("x.io/v1", "Widget")] == ["default"]
    server.update(definition("-v1"))
    server.delete(EXTENSIONS, CRD, "widgets.x.io")
    server.create(definition("v1"))
    assert server.list("x.io/v1", "Widget") == []


async def test_a_cluster_scoped_resource_has_no_namespaces(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(definition("v1", scope="Cluster"))
    made = server.create(widget())
    assert "namespace" not in made["metadata"]
    assert (await got(http, "/apis/x.io/v1/widgets/w"))["metadata"] == made["metadata"]
    async with http.get("/apis/x.io/v1/namespaces/default/widgets/w") as response:
        assert response.status == 404


async def test_only_a_version_with_the_subresource_writes_its_status_apart(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    crd = definition("v1")
    del crd["spec"]["versions"][0]["subresources"]
    server.create(crd)
    made = server.create(widget(status={"phase": "Ready"}))
    assert made["status"] == {"phase": "Ready"}
    assert server.patch("x.io/v1", "Widget", "w", {"status": {"phase": "Gone"}})["status"] == {"phase": "Gone"}
    path = "/apis/x.io/v1/namespaces/default/widgets/w/status"
    async with http.get(path) as response:
        assert response.status == 404
    server.update(definition("v1"))
    changed = server.patch("x.io/v1", "Widget", "w", {"status": {"phase": "New"}, "spec": {"a": 1}})
    assert (changed["status"], changed["spec"]) == ({"phase": "Gone"}, {"a": 1})
    assert (await got(http, path))["status"] == {"phase": "Gone"}


async def test_an_update_of_a_custom_resource_needs_its_version(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(definition("v1"))
    server.create(widget())
    async with http.put("/apis/x.io/v1/namespaces/default/widgets/w", json=widget(spec={"a": 1})) as response:
        told = await response.json()
    assert (response.status, told["reason"]) == (422, "Invalid")
    assert told["details"]["causes"][0]["field"] == "metadata.resourceVersion"
    assert "spec" not in server.get("x.io/v1", "Widget", "w")
