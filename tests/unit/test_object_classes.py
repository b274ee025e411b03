"""Decoders and plain data of users' classes, whatever kind of class."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from kinformer._object_classes import decoder_of, is_pydantic, plain_of, reason_of


class Struct(msgspec.Struct, rename="camel"):
    host_name: str


@dataclasses.dataclass
class Data:
    host_name: Struct


class Model(pydantic.BaseModel):
    host_name: str = pydantic.Field(alias="hostName")


def test_plain_data_has_the_names_of_the_json() -> None:
    assert plain_of(Struct("a")) == {"hostName": "a"}
    assert plain_of(Data(Struct("a"))) == {"host_name": {"hostName": "a"}}
    assert plain_of(Model(hostName="a")) == {"hostName": "a"}
    assert plain_of([Model(hostName="a")]) == [{"hostName": "a"}]
    assert plain_of(5) == 5
    with pytest.raises(TypeError, match="a complex has no form in JSON"):
        plain_of([1j])


@pytest.mark.parametrize("kind", [Struct, Model])
def test_the_reason_of_a_refusal_names_the_place_and_no_value(kind: Any) -> None:
    with pytest.raises(ValueError) as caught:
        decoder_of(kind)(b'{"hostName": 123456789}')
    assert "hostName" in reason_of(caught.value)
    assert "123456789" not in reason_of(caught.value)


def test_the_part_of_a_class_that_msgspec_cannot_decode_is_named() -> None:
    class Wrong(msgspec.Struct):
        one: Annotated[int, msgspec.Meta(ge=0), msgspec.Meta(ge=1)]

    with pytest.raises(TypeError, match="cannot be decoded into: Multiple `Meta` annotations setting `ge` found"):
        decoder_of(Wrong)


@pytest.mark.parametrize("kind", [Struct, Data])
def test_the_decoder_of_a_class_is_made_once(kind: Any) -> None:
    assert decoder_of(kind) is decoder_of(kind)


def test_only_a_pydantic_model_is_one() -> None:
    assert [is_pydantic(kind) for kind in (Model, Struct, Data, 5)] == [True, False, False, False]


@pytest.mark.parametrize("kind", [str, int, list, list[int], bytes, bool, None, tuple, set, float, int | str, []])
def test_a_type_that_no_object_of_a_cluster_fits_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="cannot be decoded into: it must be a msgspec.Struct, dataclass, TypedDict"):
        decoder_of(kind)
