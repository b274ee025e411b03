"""Changes become events: the short way of the usual update has the result of the general one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.cache._process_deltas import _apply, apply_changes
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject
from kinformer.resources import PODS

if TYPE_CHECKING:
    from kinformer.events import Event

VERSIONS = [
    "",
    "0",
    "1",
    "9",
    "10",
    "010",
    "99",
    "100",
    "1e3",
    "x",
    "1_0",
    "\u0661\u0660",
    "\u0660\u0660\u0669",
    "+11",
    "²",
]


def state(version: str) -> KubeObject:
    metadata = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": version}
    return KubeObject.from_dict({"kind": "Pod", "apiVersion": "v1", "metadata": metadata}, PODS)


def applied(old: str, new: str, *, general: bool) -> tuple[object, ...]:
    """The version in the cache after an update, and the events of it."""
    indexer = InformerIndexer()
    indexer.add(state(old))
    events: list[Event] = []
    delta = Delta(DeltaType.UPDATED, state(new))
    if general:
        _apply(delta, indexer, events, False)
    else:
        apply_changes([delta], indexer, events, initial=False)
    return indexer.version_of(delta.object.key), *((type(event), event.source.resource_version) for event in events)


@pytest.mark.parametrize("old", VERSIONS)
def test_an_update_is_applied_alike_whatever_its_version_is(old: str) -> None:
    for new in VERSIONS:
        assert applied(old, new, general=False) == applied(old, new, general=True)
