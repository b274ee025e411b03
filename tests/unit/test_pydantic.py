"""pydantic and FastAPI write objects, and the sections that were read of them, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Any

import pydantic
import pydantic_core
import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.testclient import TestClient

from kinformer import KubeObject
from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST: dict[str, Any] = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "labels": {"x": "y"}},
    "data": {"k": "v", "list": [1, {"z": None}]},
}


def fresh() -> KubeObject:
    return KubeObject.from_dict(MANIFEST, CONFIGMAPS)


class OfAny(pydantic.BaseModel):
    value: Any


class OfDict(pydantic.BaseModel):
    value: dict[str, Any]


class OfMapping(pydantic.BaseModel):
    value: Mapping[str, Any]


class OfObject(pydantic.BaseModel):
    value: KubeObject


class Fields(pydantic.BaseModel):
    metadata: dict[str, Any]
    data: dict[str, Any]


def _dumped(model: Callable[..., pydantic.BaseModel]) -> dict[str, Callable[[Any], Any]]:
    return {
        "python": lambda value: model(value=value).model_dump()["value"],
        "python for JSON": lambda value: model(value=value).model_dump(mode="json")["value"],
        "JSON": lambda value: json.loads(model(value=value).model_dump_json())["value"],
    }


def _in_a_list(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: write([value])[0]


WAYS: dict[str, Callable[[Any], Any]] = {
    **{f"field of Any, {way}": write for way, write in _dumped(OfAny).items()},
    **{f"field of dict, {way}": write for way, write in _dumped(OfDict).items()},
    **{f"field of Mapping, {way}": write for way, write in _dumped(OfMapping).items()},
    **{f"in a list, {way}": _in_a_list(write) for way, write in _dumped(OfAny).items()},
    "to_json": lambda value: json.loads(pydantic_core.to_json(value)),
    "to_jsonable_python": pydantic_core.to_jsonable_python,
    "jsonable_encoder": jsonable_encoder,
    "validated list of dicts": lambda value: _list_of_dicts(value)[0],
}


def _list_of_dicts(value: Any) -> Any:
    adapter = pydantic.TypeAdapter(list[dict[str, Any]])
    return json.loads(adapter.dump_json(adapter.validate_python([value])))


@pytest.mark.parametrize("way", WAYS)
def test_pydantic_writes_plain_values(way: str) -> None:
    assert json.dumps(WAYS[way](fresh())) == json.dumps(MANIFEST)
    assert json.dumps(WAYS[way](fresh()["data"])) == json.dumps(MANIFEST["data"])


@pytest.mark.parametrize("way", _dumped(OfObject))
def test_a_field_of_a_model_may_be_an_object(way: str) -> None:
    assert _dumped(OfObject)[way](fresh()) == MANIFEST
    with pytest.raises(pydantic.ValidationError, match="KubeObject"):
        OfObject(value="no object")  # type: ignore[arg-type]


def test_a_model_is_made_of_an_object() -> None:
    fields = Fields.model_validate(dict(fresh()))
    assert fields.model_dump() == {name: MANIFEST[name] for name in ("metadata", "data")}


def test_fastapi_answers_with_objects_whatever_the_route_declares() -> None:
    app = FastAPI()
    app.get("/undeclared")(fresh)
    app.get("/model", response_model=KubeObject)(fresh)
    app.get("/dict", response_model=dict[str, Any])(fresh)
    app.get("/any", response_model=Any)(fresh)
    app.get("/objects", response_model=list[KubeObject])(lambda: [fresh()])
    app.get("/dicts", response_model=list[dict[str, Any]])(lambda: [fresh()])
    app.get("/section", response_model=Any)(lambda: fresh()["data"])
    with TestClient(app) as http:
        for path in ("/undeclared", "/model", "/dict", "/any"):
            assert http.get(path).json() == MANIFEST, path
        assert http.get("/objects").json() == http.get("/dicts").json() == [MANIFEST]
        assert http.get("/section").json() == MANIFEST["data"]
        assert http.get("/openapi.json").status_code == 200
