"""Fields of the manifest that are read as attributes."""

from __future__ import annotations

import pytest

from kinformer._manifest_fields import MANIFEST_FIELDS
from kinformer.objects import KubeObject
from kinformer.resources import PODS

POD = KubeObject.from_dict({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}, PODS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("spec", 'obj["spec"]'),
        ("status", 'obj["status"]'),
        ("string_data", 'obj["stringData"]'),
        ("generateName", 'obj["metadata"]["generateName"]'),
        ("managed_fields", 'obj["metadata"]["managedFields"]'),
        ("creationTimestamp", "obj.at('metadata.creationTimestamp')"),
    ],
)
def test_a_missing_attribute_names_the_way_to_read_the_field(name: str, shown: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(POD, name)
    assert shown in str(caught.value)
    assert caught.value.name == name


def test_a_field_is_no_attribute() -> None:
    assert not hasattr(POD, "spec")
    assert getattr(POD, "self_link", None) is None
    assert dict(POD.annotations) == {}
    assert not set(MANIFEST_FIELDS) & set(dir(POD))


def test_objects_keep_the_fast_access_to_their_attributes() -> None:
    # CPython reads slots and methods by its inline caches only where neither is defined.
    assert not any(
        "__getattr__" in vars(parent) or "__getattribute__" in vars(parent) for parent in KubeObject.__mro__[:2]
    )
