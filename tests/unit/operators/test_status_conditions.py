"""Conditions: their times change with their status only, and writing them loses nobody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.errors import ConflictError, NotFoundError
from kinformer.objects import KubeObject
from kinformer.operators.status_conditions import (
    StatusCondition,
    find_condition,
    is_condition,
    with_conditions,
    write_conditions,
)
from kinformer.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.resources import Resource

T0 = datetime(2026, 11, 23, 12, 0, 0, 999999, tzinfo=UTC)
T1 = T0 + timedelta(minutes=5)
READY = StatusCondition("Ready", "True", "AllUp", "3 of 3")
NOT_READY = StatusCondition("Ready", False, "SomeDown", "2 of 3")


def obj(*conditions: dict[str, Any], generation: int = 4, version: int = 1, uid: str = "u") -> KubeObject:
    head = {
        "name": "web",
        "namespace": "default",
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
    }
    return KubeObject.from_dict({"metadata": head, "status": {"conditions": list(conditions)}}, DEPLOYMENTS)


def test_a_new_condition_is_as_of_now_and_of_the_generation_looked_at() -> None:
    assert with_conditions(obj(), READY, now=T0) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AllUp",
            "message": "3 of 3",
            "observedGeneration": 4,
            "lastTransitionTime": "2026-11-23T12:00:00Z",
        }
    ]


def test_the_time_changes_with_the_status_and_with_nothing_else() -> None:
    before = with_conditions(obj(), READY, now=T0)
    other = StatusCondition("Ready", "True", "Enough", "2 of 3 is enough")
    (same,) = with_conditions(obj(*before, generation=5), other, now=T1)
    assert same["lastTransitionTime"] == "2026-11-23T12:00:00Z"
    assert (same["reason"], same["message"], same["observedGeneration"]) == ("Enough", "2 of 3 is enough", 5)
    (changed,) = with_conditions(obj(*before), NOT_READY, now=T1.astimezone(timezone(timedelta(hours=2))))
    assert changed["lastTransitionTime"] == "2026-11-23T12:05:00Z"
    assert changed["status"] == "False"


def test_order_strange_fields_and_other_conditions_stay() -> None:
    a = {"type": "A", "status": "True", "lastHeartbeatTime": "x"}
    ready = {"type": "Ready", "status": "True", "lastUpdateTime": "x"}
    made = with_conditions(obj(a, ready, {"type": "Gone", "status": "True"}), READY, remove=["Gone"], now=T0)
    assert made[0] == a
    assert (made[1]["lastUpdateTime"], made[1]["lastTransitionTime"]) == ("x", "2026-11-23T12:00:00Z")
    assert len(made) == 2


def test_an_object_without_status_or_generation_has_no_conditions() -> None:
    bare = {"metadata": {"name": "a"}}
    assert find_condition(bare, "Ready") is None
    assert not is_condition(bare, "Ready")
    assert not is_condition(None, "Ready", "False")
    (made,) = with_conditions(bare, READY, now=T0)
    assert "observedGeneration" not in made


def test_asking() -> None:
    then = obj(*with_conditions(obj(generation=4), READY, now=T0), generation=5)
    assert is_condition(then, "Ready")
    assert not is_condition(then, "Ready", "False")
    assert not is_condition(then, "Ready", current=True)
    assert is_condition(obj(*then["status"]["conditions"], generation=4), "Ready", current=True)


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(["True", "False", "Unknown"])), max_size=12))
def test_the_time_is_always_that_of_the_last_change_of_status(said: list[tuple[str, Any]]) -> None:
    current = obj()
    since: dict[str, tuple[str, str]] = {}
    for minutes, (kind, status) in enumerate(said):
        now = T0 + timedelta(minutes=minutes)
        if kind not in since or since[kind][0] != status:
            since[kind] = (status, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        current = obj(*with_conditions(current, StatusCondition(kind, status, "Why", str(minutes)), now=now))
    found = {c["type"]: (c["status"], c["lastTransitionTime"]) for c in current["status"]["conditions"]}
    assert found == since


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("", "True", "Why"), "is no type"),
        (("Not ready", "True", "Why"), "is no type"),
        (("Ready", "yes", "Why"), "not 'yes'"),
        (("Ready", "True", ""), "is no reason"),
        (("Ready", "True", "two words"), "is no reason"),
    ],
)
def test_what_the_api_would_refuse_is_refused(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StatusCondition(*arguments)


def test_a_message_is_cut_where_the_api_cuts() -> None:
    assert len(StatusCondition("Ready", True, "Why", "x" * 40000).message) == 32768


class Store:
    def __init__(self, stored: KubeObject | None) -> None:
        self.stored = stored
        self.behind = 0
        self.requests: list[str] = []

    async def get(self, resource: Resource, name: str, /, *, namespace: str | None) -> KubeObject:
        self.requests.append("get")
        if self.stored is None:
            raise NotFoundError("gone", status=404)
        return self.stored

    async def patch_status(
        self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str | None
    ) -> KubeObject:
        self.requests.append("patch")
        if self.stored is None:
            raise NotFoundError("gone", status=404)
        if self.behind or patch["metadata"]["resourceVersion"] != self.stored.resource_version:
            self.behind = max(0, self.behind - 1)
            raise ConflictError("changed", status=409)
        version = int(self.stored.resource_version) + 1
        self.stored = obj(*patch["status"]["conditions"], version=version, uid=self.stored.uid)
        return self.stored


async def test_nothing_new_is_no_request() -> None:
    store = Store(obj())
    written = await write_conditions(store, obj(), READY, now=T0)
    assert written is not None
    assert await write_conditions(store, written, READY, now=T1) is written
    assert await write_conditions(store, written, now=T1) is written
    assert store.requests == ["patch"]


async def test_a_conflict_loses_nobodys_condition_and_keeps_what_was_looked_at() -> None:
    theirs = {"type": "Theirs", "status": "True"}
    store = Store(obj(theirs, version=9, generation=5))
    written = await write_conditions(store, obj(generation=4), READY, now=T0)
    assert written is not None
    assert find_condition(written, "Theirs") == theirs
    ready = find_condition(written, "Ready")
    assert ready is not None
    assert ready["observedGeneration"] == 4
    assert store.requests == ["patch", "get", "patch"]


@pytest.mark.parametrize("now", [None, obj(version=9, uid="another")])
async def test_an_object_that_is_gone_is_let_be(now: KubeObject | None) -> None:
    assert await write_conditions(Store(now), obj(), READY) is None


@pytest.mark.looptime
async def test_conflicts_that_do_not_end_are_raised() -> None:
    store = Store(obj())
    store.behind = 100
    with pytest.raises(ConflictError):
        await write_conditions(store, obj(), READY)
    assert store.requests.count("patch") == 10
