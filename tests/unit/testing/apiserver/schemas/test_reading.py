"""Bodies of built-in kinds are read, refused and written as a real kube-apiserver does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.testing._apiserver.schemas.reading import Reader, ReadError
from tests.unit.testing.apiserver.schemas.recorded import KINDS, REFUSED, STORED, TYPES, read, struct_of

if TYPE_CHECKING:
    from kinformer.testing._apiserver.schemas.go_types import Struct

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["title"])
def test_an_object_of_the_server_is_read_and_written_byte_for_byte(case: dict[str, Any]) -> None:
    written, unknown = read(case["object"])
    assert json.dumps(written) == json.dumps(case["object"])
    assert unknown == []


def struct_and_refusal(case: dict[str, Any]) -> tuple[Struct | None, str]:
    """The struct of the kind of a body, if there is one, and why the server refused the body."""
    kind, _, rest = case["message"].partition(' in version "')
    place = case["path"].partition("?")[0].split("/")
    version = place[2] if place[1] == "api" else f"{place[2]}/{place[3]}"
    return TYPES.kind(version, kind), rest.partition(" cannot be handled as a ")[2].partition(": ")[2]


def is_read(case: dict[str, Any]) -> bool:
    """Whether the fields of a body were read: it was not refused for its kind before."""
    struct, why = struct_and_refusal(case)
    return struct is not None and " registered for version " not in why and "unknown conversion" not in why


def test_nearly_all_refused_bodies_were_read() -> None:
    assert len(REFUSED) - sum(map(is_read, REFUSED)) == 4


@pytest.mark.parametrize("case", [*filter(is_read, REFUSED)], ids=lambda case: case["title"])
def test_a_body_of_a_wrong_type_is_refused_with_the_text_of_the_server(case: dict[str, Any]) -> None:
    struct, expected = struct_and_refusal(case)
    assert struct is not None
    reader = Reader()
    if expected.startswith("strict decoding error: "):
        reader.read(struct, case["body"])
        unknown = ", ".join(f'unknown field "{path}"' for path in reader.unknown)
        assert f"strict decoding error: {unknown}" == expected
        return
    with pytest.raises(ReadError) as caught:
        reader.read(struct, case["body"])
    assert str(caught.value) == expected


@given(st.sampled_from(KINDS), JSON, st.data())
def test_any_json_is_read_or_refused(kind: tuple[str, str], value: Any, data: st.DataObject) -> None:
    struct = struct_of(*kind)
    name = data.draw(st.sampled_from(sorted(struct.by_name)))
    try:
        written = Reader().read(struct, {name: value, "metadata": value})
    except ReadError:
        return
    # What was read once is read again as it is.
    assert Reader().read(struct, written) == written


def test_every_kind_has_a_struct_that_can_be_empty() -> None:
    for kind in TYPES.kinds():
        written = Reader().read(struct_of(*kind), {})
        assert Reader().read(struct_of(*kind), written) == written, kind


def test_an_error_names_the_inlined_structs_on_the_way_to_the_field() -> None:
    pod = TYPES.kind("v1", "Pod")
    assert pod is not None
    with pytest.raises(ReadError) as refused:
        Reader().read(pod, {"spec": {"volumes": [{"name": "v", "configMap": {"optional": "x"}}]}})
    field = "ConfigMapVolumeSource.spec.volumes.VolumeSource.configMap.optional"
    assert str(refused.value) == f"json: cannot unmarshal string into Go struct field {field} of type bool"


def test_base64_with_a_letter_that_is_no_ascii_is_refused() -> None:
    secret = TYPES.kind("v1", "Secret")
    assert secret is not None
    with pytest.raises(ReadError) as refused:
        Reader().read(secret, {"data": {"key": "QUJDé==="}})
    assert str(refused.value) == "illegal base64 data at input byte 4"
