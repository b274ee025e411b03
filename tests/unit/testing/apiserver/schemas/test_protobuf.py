"""Protobuf bodies mean the same as the JSON of a real kube-apiserver, and no bytes break their reader."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.testing._apiserver.schemas import protobuf
from tests.unit.testing.apiserver.schemas.recorded import STORED, TYPES, read

if TYPE_CHECKING:
    from collections.abc import Iterator


def without_template_types(obj: dict[str, Any]) -> dict[str, Any]:
    """Claim templates lose kind and apiVersion in protobuf, on a real server too: its message has no such fields."""
    spec = obj.get("spec", {})
    for template in spec.get("volumeClaimTemplates", []) if isinstance(spec, dict) else []:
        template.pop("kind", None)
        template.pop("apiVersion", None)
    return obj


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["title"])
def test_a_protobuf_answer_of_the_server_means_the_same_as_its_json(case: dict[str, Any]) -> None:
    decoded, unknown = read(protobuf.decode(base64.b64decode(case["protobuf"]), TYPES))
    assert decoded == without_template_types(case["object"])
    assert unknown == []


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["title"])
def test_an_object_written_as_protobuf_comes_back_the_same(case: dict[str, Any]) -> None:
    body = protobuf.encode(case["object"], TYPES)
    assert body is not None
    assert read(protobuf.decode(body, TYPES))[0] == without_template_types(case["object"])


@given(st.binary(max_size=200))
def test_no_bytes_at_all_break_the_reader_of_protobuf(body: bytes) -> None:
    for prefix in (b"", protobuf.MAGIC, base64.b64decode(STORED[0]["protobuf"])[:40]):
        try:
            protobuf.decode(prefix + body, TYPES, ("v1", "Pod"))
        except protobuf.ProtobufError:
            continue


@given(st.data())
def test_no_damage_to_a_body_breaks_the_reader_of_protobuf(data: st.DataObject) -> None:
    body = bytearray(base64.b64decode(data.draw(st.sampled_from(STORED))["protobuf"]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        protobuf.decode(bytes(body), TYPES)
    except protobuf.ProtobufError:
        return


def others(data: bytes) -> Iterator[bytes]:
    """The message with one of its fields, at any depth, in another form on the wire."""
    try:
        found = [*protobuf.fields_of(data)]
    except protobuf.ProtobufError:
        return
    for at, (number, wire, value) in enumerate(found):
        before, after = joined(found[:at]), joined(found[at + 1 :])
        for other in ((number, 0, 5), (number, 2, b"a"), (number, 1, b"\xff" * 8)):
            yield before + joined([other]) + after
        if wire == 2:
            for inner in others(value):
                yield before + joined([(number, 2, inner)]) + after


def joined(found: list[tuple[int, int, Any]]) -> bytes:
    """A message of these fields."""
    return b"".join(
        varint(number << 3 | wire) + (varint(value) if wire == 0 else varint(len(value)) * (wire == 2) + value)
        for number, wire, value in found
    )


def varint(number: int) -> bytes:
    """A number as protobuf has it."""
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])


@pytest.mark.parametrize("case", STORED, ids=lambda case: case["title"])
def test_a_field_in_another_form_on_the_wire_does_not_break_the_reader(case: dict[str, Any]) -> None:
    body = base64.b64decode(case["protobuf"])
    for other in others(body[4:]):
        with contextlib.suppress(protobuf.ProtobufError):
            protobuf.decode(body[:4] + other, TYPES)
