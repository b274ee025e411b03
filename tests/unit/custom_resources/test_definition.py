"""custom_resource and crd: the manifest of a class, names, versions, and refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pydantic
import pytest

from kinformer import Resource
from kinformer.custom_resources import (
    Column,
    CustomResource,
    ObjectMeta,
    Rule,
    Scale,
    at_most_one_of,
    crd,
    custom_resource,
    exactly_one_of,
    is_custom_resource,
    manifest_of,
    resource_of,
)
from kinformer.resources import PODS


class Spec(msgspec.Struct):
    size: int = 1
    note: str | None = None


@custom_resource(
    group="example.com",
    version="v1",
    short_names=("web",),
    categories=("all",),
    scale=Scale(selector=".status.selector"),
    columns=[Column("Size", ".spec.size", "integer", priority=1)],
    rules=[Rule("has(self.spec)")],
    deprecated="use v2",
)
class Website(CustomResource, msgspec.Struct):
    """A site."""

    metadata: ObjectMeta
    spec: Spec = msgspec.field(default_factory=Spec)
    status: dict[str, Any] | None = None


@custom_resource(group="example.com", version="v1beta1", kind="Website", storage=False)
@dataclasses.dataclass
class OldWebsite:
    spec: Spec


@custom_resource(group="example.com", version="v1", scope="Cluster", status=Spec)
class Policy(pydantic.BaseModel):
    spec: dict[str, str]
    note: int | None = None


def test_the_manifest_has_everything_that_was_said() -> None:
    made = Website.crd()
    assert made["metadata"] == {"name": "websites.example.com"}
    assert made["spec"]["names"] == {
        "plural": "websites",
        "singular": "website",
        "kind": "Website",
        "listKind": "WebsiteList",
        "shortNames": ["web"],
        "categories": ["all"],
    }
    (version,) = made["spec"]["versions"]
    assert version["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    assert version["additionalPrinterColumns"] == [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}
    ]
    assert (version["deprecated"], version["deprecationWarning"]) == (True, "use v2")
    schema = version["schema"]["openAPIV3Schema"]
    assert schema["description"] == "A site."
    assert schema["x-kubernetes-validations"] == [{"rule": "has(self.spec)"}]
    assert schema["properties"]["spec"]["default"] == {"size": 1}
    assert "required" not in schema


def test_the_manifest_is_a_copy() -> None:
    Website.crd()["spec"]["versions"][0]["schema"].clear()
    assert Website.crd()["spec"]["versions"][0]["schema"]


def test_a_class_of_the_status_turns_on_the_subresource() -> None:
    (version,) = crd(Policy)["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["size"]["default"] == 1
    assert crd(Policy)["metadata"]["name"] == "policies.example.com"
    assert crd(Policy)["spec"]["scope"] == "Cluster"


def test_versions_become_one_definition() -> None:
    versions = crd(Website, OldWebsite)["spec"]["versions"]
    assert [(each["name"], each["storage"]) for each in versions] == [("v1", True), ("v1beta1", False)]


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ((), "at least one"),
        ((OldWebsite,), "exactly one version of websites.example.com is stored, not none"),
        ((Website, Website), "two classes of one version"),
        ((Website, Policy), "no versions of one resource"),
    ],
)
def test_classes_that_make_no_definition_are_refused(kinds: tuple[type, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        crd(*kinds)


def test_a_class_stands_for_its_resource() -> None:
    assert resource_of(Website) == Resource("example.com", "v1", "websites", "Website") == Website.resource
    assert not resource_of(Policy).namespaced
    assert resource_of(PODS) is PODS
    with pytest.raises(TypeError, match="Spec is no custom resource; decorate the class"):
        resource_of(Spec)


def test_a_class_derived_from_a_custom_resource_is_none_of_its_own() -> None:
    class Special(Website):
        extra: int = 0

    assert is_custom_resource(Website)
    assert not is_custom_resource(Special)
    with pytest.raises(TypeError, match="Special is no custom resource"):
        resource_of(Special)


def test_an_object_becomes_a_manifest() -> None:
    assert manifest_of(Website(ObjectMeta(name="a"))) == {
        "apiVersion": "example.com/v1",
        "kind": "Website",
        "metadata": {"name": "a"},
        "spec": {"size": 1},
    }
    assert manifest_of(Policy(spec={"a": "b"})) == {
        "apiVersion": "example.com/v1",
        "kind": "Policy",
        "spec": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("singular", "plural"),
    [("website", "websites"), ("proxy", "proxies"), ("class", "classes"), ("key", "keys"), ("box", "boxes")],
)
def test_the_plural_is_the_english_one(singular: str, plural: str) -> None:
    kind = custom_resource(group="example.com", version="v1", kind=singular.capitalize())(
        msgspec.defstruct("Root", [("spec", Spec)])
    )
    assert resource_of(kind).plural == plural


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'Namespaced' or 'Cluster'"):
        custom_resource(group="example.com", version="v1", scope="Everywhere")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a DNS name with a dot"):
        custom_resource(group="example", version="v1")
    with pytest.raises(TypeError, match=r"must be a msgspec\.Struct"):
        custom_resource(group="example.com", version="v1")(int)
    with pytest.raises(TypeError, match="has a field 'crd'"):
        custom_resource(group="example.com", version="v1")(msgspec.defstruct("A", [("crd", int)]))
    with pytest.raises(TypeError, match="leave status=Spec out"):
        custom_resource(group="example.com", version="v1", status=Spec)(msgspec.defstruct("A", [("status", Spec)]))


def test_selectable_fields_and_metadata_are_in_the_crd() -> None:
    annotations = {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1111"}

    @custom_resource(
        group="gateways.k8s.io",
        version="v1",
        selectable_fields=[".spec.size"],
        labels={"team": "a"},
        annotations=annotations,
    )
    class Gate(msgspec.Struct):
        spec: Spec

    made = crd(Gate)
    assert made["metadata"] == {
        "name": "gates.gateways.k8s.io",
        "labels": {"team": "a"},
        "annotations": annotations,
    }
    assert made["spec"]["versions"][0]["selectableFields"] == [{"jsonPath": ".spec.size"}]


class Nested(msgspec.Struct):
    name: str = ""
    many: list[str] = []


@pytest.mark.parametrize(
    "paths",
    [
        [".spec.nothing"],
        [".spec"],
        [".spec.many"],
        ["spec.name"],
        [".metadata.name"],
        [".spec.name", ".spec.name"],
        [".spec.name"] * 9,
        [""],
        ["."],
    ],
)
def test_a_field_that_no_selector_can_name_is_refused(paths: list[str]) -> None:
    class Gate(msgspec.Struct):
        spec: Nested

    with pytest.raises(ValueError, match="selectable field"):
        custom_resource(group="example.com", version="v1", selectable_fields=paths)(Gate)


def test_of_a_union_the_rule_counts_the_fields_that_are_set() -> None:
    assert exactly_one_of("git", "image") == Rule(
        "[has(self.git), has(self.image)].filter(is_set, is_set).size() == 1", "exactly one of git, image must be set"
    )
    assert at_most_one_of("a", "b", "c").rule.endswith("<= 1")


@pytest.mark.parametrize("fields", [(), ("a",), ("a", "a"), ("a", "in"), ("a", "b-c"), ("a", "__b__")])
def test_a_union_of_fewer_than_two_fields_or_of_names_that_cel_escapes_is_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="one of"):
        exactly_one_of(*fields)
