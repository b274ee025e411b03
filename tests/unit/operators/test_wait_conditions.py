"""Named conditions: what they say of an object, why they are not so, and how they compose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer.errors import SelectorError, WaitTimeoutError
from kinformer.informer import SharedInformer
from kinformer.objects import KubeObject
from kinformer.operators.wait_conditions import (
    Condition,
    condition_is,
    condition_true,
    deleted,
    exists,
    field_equals,
    labelled,
    phase,
    rolled_out,
)
from kinformer.resources import DAEMONSETS, DEPLOYMENTS, SECRETS, STATEFULSETS, Resource
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from collections.abc import Callable


def workload(resource: Resource, status: dict[str, Any], generation: int = 1, **spec: Any) -> KubeObject:
    head = {"name": "web", "namespace": "default", "generation": generation}
    return KubeObject.from_dict({"metadata": head, "spec": spec, "status": status}, resource)


def with_condition(status: str, *, observed: int = 2, reason: str = "Because") -> KubeObject:
    entry = {"type": "Ready", "status": status, "reason": reason, "observedGeneration": observed}
    return workload(DEPLOYMENTS, {"conditions": [entry]}, generation=2)


RUNNING = pod("a", status={"phase": "Running"})
PENDING = pod("a", status={"phase": "Pending"})
MARKED = KubeObject.from_dict(
    {"metadata": {"name": "a", "uid": "one", "deletionTimestamp": "now", "finalizers": ["x.com/a", "x.com/b"]}},
    DEPLOYMENTS,
)
LEAVING = KubeObject.from_dict({"metadata": {"name": "a", "deletionTimestamp": "now"}}, DEPLOYMENTS)

UP = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
LATE = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}


@pytest.mark.parametrize(
    ("condition", "obj", "why_not"),
    [
        (exists(), RUNNING, ""),
        (exists(), None, "it does not exist"),
        (deleted(), None, ""),
        (deleted(), RUNNING, "it is there, and not marked for deletion"),
        (deleted(), MARKED, "it is being deleted, and waits for x.com/a, x.com/b"),
        (deleted(), LEAVING, "it is being deleted, and waits for its grace period"),
        (deleted("another"), MARKED, ""),
        (deleted(MARKED), MARKED, "it is being deleted, and waits for x.com/a, x.com/b"),
        (phase("Running"), RUNNING, ""),
        (phase("Running"), PENDING, "phase is Pending"),
        (phase("Pending", "Running"), PENDING, ""),
        (phase("Running"), pod("a"), "phase is not set"),
        (phase("Running"), None, "it does not exist"),
        (condition_true("Ready"), with_condition("True"), ""),
        (condition_true("Ready"), with_condition("False"), "condition Ready is False (Because)"),
        (condition_true("Ready"), with_condition("Unknown", reason=""), "condition Ready is Unknown"),
        (condition_true("Ready"), RUNNING, "it has no condition Ready"),
        (condition_true("Ready"), None, "it does not exist"),
        (condition_is("Ready", "False"), with_condition("False"), ""),
        (condition_true("Ready", current=True), with_condition("True"), ""),
        (
            condition_true("Ready", current=True),
            with_condition("True", observed=1),
            "condition Ready is True for an older generation",
        ),
        (field_equals("status.phase", "Running"), RUNNING, ""),
        (field_equals("status.phase", "Running"), PENDING, "status.phase is 'Pending'"),
        (field_equals("spec.nodeName", None), RUNNING, ""),
        (field_equals("spec.nodeName", "n"), RUNNING, "spec.nodeName is not set"),
        (field_equals("spec.n", 1), pod("a", spec={"n": True}), "spec.n is True"),
        (field_equals("spec", 1), pod("a", spec={"n": True}), "spec is something else"),
        (field_equals(("metadata", "name"), "a" * 80), pod("b" * 80), f"metadata.name is '{'b' * 58}…"),
        (field_equals("status.phase", "Running"), None, "it does not exist"),
        (labelled("app=web"), pod("a", labels={"app": "web"}), ""),
        (labelled("app=web"), pod("a", labels={"app": "db"}), "its labels do not match app=web"),
        (labelled("app=web"), None, "it does not exist"),
        (rolled_out(), None, "it does not exist"),
        (rolled_out(), workload(DEPLOYMENTS, UP, 2, replicas=2), ""),
        (rolled_out(), workload(DEPLOYMENTS, UP, 3, replicas=2), "its spec has not been looked at yet"),
        (rolled_out(), workload(DEPLOYMENTS, {}), "its spec has not been looked at yet"),
        (rolled_out(), workload(DEPLOYMENTS, UP, 2, replicas=3), "2 of 3 replicas are updated"),
        (rolled_out(), workload(DEPLOYMENTS, UP | {"replicas": 3}, 2, replicas=2), "1 old replicas are yet to end"),
        (
            rolled_out(),
            workload(DEPLOYMENTS, UP | {"availableReplicas": 1} | LATE, 2, replicas=2),
            "1 of 2 updated replicas are available, and it has exceeded its progress deadline",
        ),
        (rolled_out(), workload(DEPLOYMENTS, {"observedGeneration": 2}, 2, replicas=0), ""),
        (rolled_out(), workload(STATEFULSETS, UP, 2, replicas=2), ""),
        (rolled_out(), workload(STATEFULSETS, UP, 2, replicas=3), "2 of 3 replicas are ready"),
        (
            rolled_out(),
            workload(STATEFULSETS, UP | {"updateRevision": "b", "updatedReplicas": 1}, 2, replicas=2),
            "1 of 2 replicas are updated",
        ),
        (
            rolled_out(),
            workload(
                STATEFULSETS,
                UP | {"updatedReplicas": 0},
                2,
                replicas=2,
                updateStrategy={"rollingUpdate": {"partition": 1}},
            ),
            "0 of 1 replicas are updated",
        ),
        (
            rolled_out(),
            workload(STATEFULSETS, UP, 2, replicas=2, updateStrategy={"rollingUpdate": {"partition": 1}}),
            "",
        ),
        (
            rolled_out(),
            workload(DAEMONSETS, {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1}),
            "1 of 2 pods are updated",
        ),
        (
            rolled_out(),
            workload(DAEMONSETS, {"observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1}),
            "0 of 1 pods are available",
        ),
        (rolled_out(), workload(DAEMONSETS, {"observedGeneration": 1}), ""),
    ],
)
def test_a_condition_says_whether_it_is_so_and_why_not(
    condition: Condition, obj: KubeObject | None, why_not: str
) -> None:
    assert condition.why_not(obj) == why_not
    assert condition(obj) is not bool(why_not)


def test_only_workloads_are_rolled_out() -> None:
    with pytest.raises(TypeError, match="pods are not rolled out"):
        rolled_out()(RUNNING)


def test_which_phase_must_be_said() -> None:
    with pytest.raises(ValueError, match="which phase"):
        phase()


def test_a_selector_is_parsed_when_the_condition_is_made() -> None:
    with pytest.raises(SelectorError):
        labelled("a in b")


def test_the_values_of_a_secret_are_never_told() -> None:
    secret = KubeObject.from_dict({"metadata": {"name": "s"}, "data": {"password": "aHVudGVyMg=="}}, SECRETS)
    assert field_equals("data.password", "x").why_not(secret) == "data.password is not as wanted"


def on_node(obj: KubeObject | None) -> bool:
    return obj is not None and obj.at("spec.nodeName") is not None


PLACED = pod("a", status={"phase": "Running"}, spec={"nodeName": "n"})


@pytest.mark.parametrize(
    ("condition", "obj", "why_not"),
    [
        (phase("Running") & on_node, PLACED, ""),
        (phase("Running") & on_node, RUNNING, "not: on_node holds"),
        (on_node & phase("Running"), PENDING, "not: on_node holds; phase is Pending"),
        (exists() & phase("Running"), None, "it does not exist"),
        (phase("Running") | on_node, RUNNING, ""),
        (on_node | phase("Running"), RUNNING, ""),
        (phase("Running") | phase("Failed"), PENDING, "phase is Pending"),
        (phase("Running") | deleted(), PENDING, "phase is Pending and it is there, and not marked for deletion"),
        (~phase("Running"), PENDING, ""),
        (~phase("Running"), RUNNING, "phase is Running, and should not be"),
        (~~phase("Running"), RUNNING, ""),
        # Precedence is Python's: ~, then &, then |.
        (phase("Running") & exists() | deleted(), None, ""),
    ],
)
def test_conditions_and_plain_functions_compose(
    condition: Callable[[KubeObject | None], object], obj: KubeObject | None, why_not: str
) -> None:
    assert isinstance(condition, Condition)
    assert condition.why_not(obj) == why_not
    assert condition(obj) is not bool(why_not)


def test_a_condition_has_a_name() -> None:
    assert repr(phase("Running") & ~deleted() | on_node) == (
        "<Condition phase is Running and not (it is gone) or on_node holds>"
    )


@pytest.mark.looptime
async def test_a_wait_in_vain_names_what_was_not_so() -> None:
    source = FakeSource(PENDING)
    async with SharedInformer(source) as pods:
        await pods.synced(timeout=1)
        wanted = phase("Running") & condition_true("Ready")
        with pytest.raises(
            WaitTimeoutError,
            match="pods default/a is in the cache, but not as wanted after 5 s: phase is Pending; it has no condition",
        ):
            await pods.wait_for("a", wanted, 5, namespace="default")
        with pytest.raises(WaitTimeoutError, match="not in the cache after 5 s: it does not exist"):
            await pods.wait_for("b", wanted, 5, namespace="default")


@pytest.mark.looptime
async def test_an_object_made_anew_under_the_same_name_ends_the_wait_for_the_end_of_the_first() -> None:
    first = pod("a", 3, uid="one")
    source = FakeSource(first)
    async with SharedInformer(source) as pods:
        stream = await source.watched()
        await settled()
        stream.deleted(pod("a", 11, uid="one"))
        stream.added(pod("a", 12, uid="two"))
        found = await pods.wait_for(first.key, deleted(first), 5)
        assert found is None or found.uid == "two"
