"""The types know how JSON, protobuf, patches and server-side apply see each field."""

from __future__ import annotations

import pytest

from tests.unit.testing.apiserver.schemas.recorded import TYPES, struct_of


def test_a_field_knows_its_number_and_how_lists_are_merged() -> None:
    containers = struct_of("v1", "Pod").by_name["spec"].type.target.struct.by_name["containers"]  # type: ignore[union-attr]
    assert (containers.number, containers.patch, containers.merge_key) == (2, ("merge",), "name")
    assert (containers.list_type, containers.list_keys) == ("map", ("name",))


def test_the_fields_of_an_inlined_struct_stand_in_its_parent() -> None:
    volume = TYPES.struct("core/v1.Volume")
    assert {"name", "emptyDir", "configMap"} <= volume.by_name.keys()


@pytest.mark.parametrize(
    ("text", "form", "name"),
    [
        ("v1.RestartPolicy=string", "string", "v1.RestartPolicy"),
        ("[]@core/v1.Container", "slice", "[]v1.Container"),
        ("map[v1.ResourceName=string]@api/resource.Quantity", "map", "map[v1.ResourceName]resource.Quantity"),
        ("*int32", "pointer", "*int32"),
        ("bytes", "bytes", "[]uint8"),
    ],
)
def test_a_type_has_the_name_that_go_prints(text: str, form: str, name: str) -> None:
    parsed = TYPES.parse(text)
    assert (parsed.form, parsed.name) == (form, name)


def test_a_slice_that_protobuf_has_as_a_message_is_wrapped() -> None:
    assert TYPES.parse("v1.Verbs~[]string").wrapped
    assert not TYPES.parse("v1.ValidationRules=[]string").wrapped


def test_a_kind_that_kubernetes_does_not_have_is_none() -> None:
    assert TYPES.kind("example.com/v1", "Widget") is None
