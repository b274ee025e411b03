"""`obj["metadata"]`: its fields are found in one pass, and are those that JSON says."""

from __future__ import annotations

import json

import pytest
from rich.pretty import pretty_repr

from kinformer.events import Added
from kinformer.objects import KubeObject
from kinformer.resources import PODS, SECRETS

HEAD = '"metadata":{"name":"a","namespace":"n","resourceVersion":"1","managedFields":[{"fieldsV1":{"f:spec":{}}}]}'
OTHER = '"metadata":{"name":"b","namespace":"n","resourceVersion":"2"}'

FORMS = {
    "as a server writes it": f'{{"kind":"Pod","apiVersion":"v1",{HEAD},"spec":{{"metadata":7}},"status":{{}}}}',
    "no status": f'{{"kind":"Pod","apiVersion":"v1",{HEAD},"spec":{{"a":[1]}}}}',
    "neither spec nor status": f'{{"kind":"Pod","apiVersion":"v1",{HEAD}}}',
    "without kind": f'{{{HEAD},"spec":{{}},"status":{{}}}}',
    "after the others": f'{{"spec":{{}},"status":{{}},{HEAD}}}',
    "between them": f'{{"spec":{{}},{HEAD},"status":{{}}}}',
    "more behind": f'{{{HEAD},"spec":{{}},"status":{{}},"more":{{"metadata":{{}}}}}}',
    "twice": f'{{{HEAD},{OTHER},"spec":{{}},"status":{{}}}}',
    "twice, the second one behind": f'{{{HEAD},"spec":{{}},"status":{{}},{OTHER}}}',
    "a name twice": '{"metadata":{"name":"a","x":1,"namespace":"n","x":2},"spec":{},"status":{}}',
    "escaped": '{"m\\u0065tadata":{"n\\u0061me":"a","namespace":"n"},"spec":{},"status":{}}',
    "spaces": '{ "metadata" : { "name" : "a", "namespace" : "n" } , "spec" : {} , "status" : {} }',
    "a large one": f'{{{HEAD},"spec":{{"text":"{"x" * 9000}"}},"status":{{}}}}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", ["nothing", "spec", "all"])
def test_the_metadata_are_those_that_json_says(form: str, before: str) -> None:
    text = FORMS[form]
    obj = KubeObject.from_json(text.encode(), PODS)
    if before == "spec":
        obj.get("spec")
    elif before == "all":
        list(obj)
    wanted = json.loads(text)
    assert obj["metadata"] == wanted["metadata"]
    assert obj["metadata"] is obj["metadata"]
    assert dict(obj) == {"kind": "Pod", "apiVersion": "v1"} | wanted


def test_neither_repr_nor_rich_shows_the_data_of_a_secret() -> None:
    raw = b'{"metadata":{"name":"a","namespace":"n","annotations":{"x":"hunter2"}},"data":{"x":"hunter2"}}'
    secret = KubeObject.from_json(raw, SECRETS)
    assert secret["data"] == {"x": "hunter2"}  # decoded, so that the object holds it in both forms
    for shown in (secret, secret.metadata, Added(secret), [secret]):
        assert "hunter2" not in repr(shown) + pretty_repr(shown)
    assert pretty_repr(secret) == "KubeObject(kind='Secret', key='n/a', resource_version='')"


@pytest.mark.parametrize("filler", ["", "x" * 9000], ids=["small", "large"])
@pytest.mark.parametrize("broken", [b'"\xff"', b"1e999"], ids=["no UTF-8", "no number"])
def test_a_field_that_cannot_be_decoded_hides_no_other_one(filler: str, broken: bytes) -> None:
    raw = b'{"metadata":{"name":"a","x":%s,"y":2},"data":{"filler":"%s"}}' % (broken, filler.encode())
    metadata = KubeObject.from_json(raw, SECRETS)["metadata"]
    assert (metadata["name"], metadata["y"]) == ("a", 2)
    with pytest.raises((UnicodeDecodeError, ValueError)):
        metadata["x"]
