"""What a Secret holds leaves by one door, as names and sizes."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kinformer
from kinformer._display.changes import describe
from kinformer._display.differences import differences
from kinformer._display.secrets import shown, shown_json, shown_pair
from kinformer._display.yaml_text import yaml_of
from kinformer.events import Added, Deleted, Updated
from kinformer.integrations.ui.presentation import as_yaml, difference
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, SECRETS

ROOT = Path(kinformer.__file__).parent
VALUE = "c3VwZXItc2VjcmV0LXBhc3N3b3Jk"
COPIES = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "kapp.k14s.io/original",
    "objectset.rio.cattle.io/applied",
)


def secret(version: str = "1", annotations: Any = None, **more: Any) -> KubeObject:
    metadata = {"name": "db", "namespace": "d", "uid": "u", "resourceVersion": version}
    if annotations is not None:
        metadata["annotations"] = annotations
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": VALUE}}
    return KubeObject.from_dict(manifest | more, SECRETS)


def every_text(old: KubeObject, new: KubeObject) -> str:
    """All that any surface may print of two states."""
    events = (Added(new), Updated(old, new), Deleted(old))
    texts = [
        repr(differences(old, new)),
        repr(differences(new, old)),
        *(describe(event) for event in events),
        describe(Updated(new, old)),
    ]
    texts += [json.dumps(difference(old, new)), json.dumps(difference(None, new)), json.dumps(difference(old, None))]
    for obj in (old, new):
        texts += [as_yaml(obj), yaml_of(shown(obj)), shown_json(obj).decode()]
    return "\n".join(texts)


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("others", [{}, {"x": "y"}], ids=["the only annotation", "beside another"])
def test_a_copy_of_the_values_in_an_annotation_is_shown_as_a_size(name: str, others: dict[str, str]) -> None:
    copied = others | {name: json.dumps({"data": {"password": VALUE}})}
    before, after = secret("1", others or None), secret("2", copied)
    text = every_text(before, after)
    assert VALUE not in text
    assert name in text
    assert next(iter(differences(before, after))).after == f"<{len(copied[name])} bytes, not shown>"


shapes = st.recursive(
    st.sampled_from([VALUE, None, 7, True, f"a\n{VALUE}\n", [VALUE], {VALUE[:0]: VALUE}]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@given(old=shapes, new=shapes, at=st.sampled_from(["data", "stringData", "annotations", "spec", "binaryData"]))
def test_no_shape_of_a_secret_shows_a_value_on_any_surface(old: Any, new: Any, at: str) -> None:
    sides = [secret("1", value) if at == "annotations" else secret("1", **{at: value}) for value in (old, new)]
    assert VALUE not in every_text(*sides)


@given(old=shapes, new=shapes)
def test_a_hidden_value_that_changed_is_shown_to_have_changed(old: Any, new: Any) -> None:
    before, after = (secret("1", {"copy": value}, data={"password": value}) for value in (old, new))
    assert bool(differences(before, after)) == (old != new or type(old) is not type(new))


def test_what_is_no_secret_is_shown_as_it_is() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "annotations": {"b": "c"}},
        "data": {"x": "1"},
    }
    obj = KubeObject.from_dict(manifest, CONFIGMAPS)
    assert shown(obj) == manifest
    assert shown_pair(obj, obj) == (manifest, manifest)
    assert shown(secret(), show_secrets=True)["data"] == {"password": VALUE}


MEASURED = {
    ("cli/_bench.py", "raw"): "counts bytes",
    ("cli/_simulated/compare.py", "to_dict"): "compares caches, prints names",
    ("integrations/ui/dashboard.py", "raw"): "counts bytes",
    ("integrations/ui/changes.py", "raw"): "counts bytes",
}


def test_only_the_door_reads_the_bytes_of_an_object_that_people_are_shown() -> None:
    found = {}
    for folder in ("cli", "_display", "integrations/ui"):
        for path in (ROOT / folder).rglob("*.py"):
            where = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in {"raw", "to_json", "to_dict", "to_model"}:
                    found[where, node.attr] = node.lineno
    assert {place for place in found if place[0] != "_display/secrets.py"} == set(MEASURED)
