"""Objects with equal labels share them: what is shared cannot be changed, and what is no label is still found out."""

from __future__ import annotations

import json

import pytest

from kinformer import _heads
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject
from kinformer.resources import PODS


def pod(name: str, labels: object) -> KubeObject:
    return KubeObject.from_json(json.dumps({"metadata": {"name": name, "labels": labels}}).encode(), PODS)


def test_equal_labels_are_kept_once() -> None:
    one, other = pod("a", {"app": "web"}), pod("b", {"app": "web"})
    assert one.metadata.labels is other.metadata.labels
    assert one.labels == {"app": "web"}
    assert pod("c", {"app": "db"}).labels == {"app": "db"}


def test_what_is_shared_cannot_be_changed_through_one_of_them() -> None:
    one, other = pod("a", {"app": "web"}), pod("b", {"app": "web"})
    with pytest.raises(TypeError):
        one.labels["app"] = "changed"  # type: ignore[index]
    one["metadata"]["labels"]["app"] = "changed"
    assert other.labels == {"app": "web"}
    assert other["metadata"]["labels"] == {"app": "web"}


@pytest.mark.parametrize("labels", [{"app": 1}, ["app"], "app", 7])
def test_what_is_no_label_is_found_out_when_the_object_arrives_again_and_again(labels: object) -> None:
    for _ in range(2):
        with pytest.raises(DecodeError):
            pod("a", labels)


@pytest.mark.parametrize("labels", [None, {}])
def test_an_object_may_have_no_labels(labels: object) -> None:
    assert pod("a", labels).labels == {}
    assert KubeObject.from_json(b'{"metadata":{"name":"a"}}', PODS).labels == {}


def test_only_what_came_lately_is_remembered() -> None:
    for number in range(3 * _heads._REMEMBERED_LABEL_SETS):
        assert pod("a", {"number": str(number)}).labels == {"number": str(number)}
        assert pod("b", {"app": "often"}).labels == {"app": "often"}
    sets = _heads.label_sets
    assert len(sets) + len(sets._older) <= 2 * _heads._REMEMBERED_LABEL_SETS
    assert pod("a", {"app": "often"}).metadata.labels is pod("b", {"app": "often"}).metadata.labels
