"""Conversions: through the stored version, with the metadata as it was, and errors that name the place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer import ConversionError
from kinformer.custom_resources import Conversions, CustomResource, ObjectMeta, custom_resource


class Spec(msgspec.Struct):
    hosts: list[str]
    size: int = 1


class OldSpec(msgspec.Struct):
    host: str
    size: int = 1


class OldestSpec(msgspec.Struct):
    host: str


@custom_resource(group="example.com", version="v2", kind="Site")
class Site(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: Spec


@custom_resource(group="example.com", version="v1", kind="Site", storage=False)
class OldSite(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: OldSpec


@custom_resource(group="example.com", version="v1beta1", kind="Site", storage=False)
class OldestSite(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: OldestSpec


def sites(*, lossless: bool = True) -> Conversions:
    conversions = Conversions(Site)

    @conversions.add(OldSite)
    def up(old: OldSite) -> Site:
        more = old.metadata.annotations.pop("more", "")
        return Site(old.metadata, Spec([old.spec.host, *more.split()], old.spec.size))

    @conversions.add_back(OldSite)
    def down(new: Site) -> OldSite:
        if lossless and new.spec.hosts[1:]:
            new.metadata.annotations["more"] = " ".join(new.spec.hosts[1:])
        return OldSite(new.metadata, OldSpec(new.spec.hosts[0], new.spec.size))

    return conversions


def site(hosts: list[str], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v2",
        "kind": "Site",
        "metadata": {"name": "a", "uid": "u", "managedFields": [{}]} | metadata,
        "spec": {"hosts": hosts, "size": 3},
    }


HOSTS = st.lists(st.text("ab.", min_size=1), min_size=1)


@given(HOSTS)
def test_a_lossless_conversion_passes_the_round_trip(hosts: list[str]) -> None:
    sites().check_round_trip(Site(ObjectMeta(name="a"), Spec(hosts)))
    sites().check_round_trip(OldSite(ObjectMeta(name="a"), OldSpec(hosts[0])))


def test_a_round_trip_that_loses_something_names_the_field() -> None:
    with pytest.raises(ConversionError, match=r"v2 to v1 and back changes spec\.hosts$"):
        sites(lossless=False).check_round_trip(site(["a", "b"]))


def test_the_metadata_stays_but_for_labels_and_annotations() -> None:
    made = sites().convert(site(["a", "b"], labels={"l": "1"}), "example.com/v1")
    assert made["apiVersion"] == "example.com/v1"
    assert made["spec"] == {"host": "a", "size": 3}
    assert made["metadata"] == {
        "name": "a",
        "uid": "u",
        "managedFields": [{}],
        "labels": {"l": "1"},
        "annotations": {"more": "b"},
    }


def test_two_other_versions_convert_through_the_stored_one() -> None:
    conversions = sites()

    @conversions.add(OldestSite)
    def up(old: OldestSite) -> Site:
        return Site(old.metadata, Spec([old.spec.host], 5))

    @conversions.add_back(OldestSite)
    def down(new: Site) -> OldestSite:
        return OldestSite(new.metadata, OldestSpec(new.spec.hosts[0]))

    oldest = {"apiVersion": "example.com/v1beta1", "kind": "Site", "metadata": {"name": "a"}, "spec": {"host": "h"}}
    assert conversions.convert(oldest, "v1")["spec"] == {"host": "h", "size": 5}
    assert [v["name"] for v in conversions.crd()["spec"]["versions"]] == ["v2", "v1", "v1beta1"]


def test_errors_name_the_version_the_field_or_the_function() -> None:
    conversions = sites()
    with pytest.raises(ConversionError, match="no version 'v3'"):
        conversions.convert(site(["a"]), "v3")
    with pytest.raises(ConversionError, match=r"does not fit Site.*hosts"):
        conversions.convert(site("secret-value"), "v1")  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match="down raised IndexError"):
        conversions.convert(site([]), "v1")


def test_each_version_has_a_function_in_both_directions() -> None:
    conversions = Conversions(Site)

    @conversions.add(OldSite)
    def up(old: OldSite) -> Site:
        raise AssertionError

    with pytest.raises(ValueError, match=r"add_back\(OldSite\)"):
        conversions.crd()
    with pytest.raises(ValueError, match="already"):
        conversions.add(OldSite)
    with pytest.raises(ValueError, match="stored version"):
        conversions.add(Site)
