"""The status of a Deployment: its counts, and whether its rollout goes on (pkg/controller/deployment/progress.go)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Again
from kinformer.testing._apiserver.controllers.conditions import (
    condition_of,
    nonzero,
    with_condition,
    without_condition,
)
from kinformer.testing._apiserver.controllers.pods import moment
from kinformer.testing._apiserver.controllers.rollouts import surge_and_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest

__all__ = ["NO_LIMIT", "RolloutStatus", "is_complete"]

NO_LIMIT: Final = 2**31 - 1
"""A deadline or a length of the history that means none (MaxInt32)."""


class RolloutStatus:
    """The status of one Deployment, as a look at it changes it.

    Args:
        deployment: the Deployment.
        now: the time.
        stamp: the time as objects carry it.

    Attributes:
        collisions: how many names of ReplicaSets were taken; `None` for none.
    """

    def __init__(self, deployment: Manifest, now: datetime, stamp: str) -> None:
        self._deployment = deployment
        self._spec: dict[str, Any] = deployment["spec"]
        self._now = now
        self._stamp = stamp
        status: dict[str, Any] = deployment.get("status") or {}
        self._conditions: list[Manifest] = list(status.get("conditions") or ())
        self.collisions: int | None = status.get("collisionCount")

    @property
    def has_deadline(self) -> bool:
        """Report whether a rollout may take too long."""
        return self._spec.get("progressDeadlineSeconds") not in {None, NO_LIMIT}

    @property
    def progressing(self) -> Manifest | None:
        """The condition of the progress."""
        return condition_of({"conditions": self._conditions}, "Progressing")

    def note_pause(self) -> None:
        """Note that the rollout is paused, or resumed."""
        if not self.has_deadline:
            return
        progressing = self.progressing
        reason = None if progressing is None else progressing.get("reason")
        if reason == "ProgressDeadlineExceeded":
            return
        if self._spec.get("paused") and reason != "DeploymentPaused":
            self.note("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not self._spec.get("paused") and reason == "DeploymentPaused":
            self.note("Unknown", "DeploymentResumed", "Deployment is resumed")

    def note(self, state: str, reason: str, message: str, *, renew: bool = False) -> None:
        """Set the condition of the progress; its times stay if it says the same."""
        old = self.progressing
        if old is not None and old["status"] == state and old.get("reason") == reason and not renew:
            return
        new = {
            "type": "Progressing",
            "status": state,
            "lastUpdateTime": self._stamp,
            "lastTransitionTime": self._stamp,
            "reason": reason,
            "message": message,
        }
        if old is not None and old["status"] == state:
            new["lastTransitionTime"] = old["lastTransitionTime"]
        self._conditions = [*without_condition(self._conditions, "Progressing"), new]

    def counted(self, new_set: Manifest | None, old_sets: list[Manifest]) -> dict[str, Any]:
        """Return the status with its counts, and the condition of availability."""
        everyone = [*old_sets, *([new_set] if new_set else [])]
        states = [one.get("status") or {} for one in everyone]
        available = sum(state.get("availableReplicas", 0) for state in states)
        total = sum(one["spec"]["replicas"] for one in everyone)
        new = {} if new_set is None else new_set.get("status") or {}
        _, unavailable = surge_and_unavailable(self._spec)
        enough = available >= self._spec["replicas"] - unavailable
        condition = {
            "type": "Available",
            "status": "True" if enough else "False",
            "lastUpdateTime": self._stamp,
            "lastTransitionTime": self._stamp,
            "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            "message": f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        }
        before = condition_of({"conditions": self._conditions}, "Available")
        if before is None:
            self._conditions = [*self._conditions, condition]
        elif before["status"] != condition["status"]:
            self._conditions = [*without_condition(self._conditions, "Available"), condition]
        status = nonzero(
            observedGeneration=self._deployment["metadata"].get("generation", 0),
            replicas=sum(state.get("replicas", 0) for state in states),
            updatedReplicas=new.get("replicas", 0),
            readyReplicas=sum(state.get("readyReplicas", 0) for state in states),
            availableReplicas=available,
            unavailableReplicas=max(0, total - available),
        )
        status["terminatingReplicas"] = sum(state.get("terminatingReplicas", 0) for state in states)
        return status | nonzero(conditions=self._conditions, collisionCount=self.collisions)

    def progressed(self, new_set: Manifest | None, old_sets: list[Manifest], failure: str) -> dict[str, Any]:
        """Return the status during a rollout: whether it goes on, is over, or takes too long."""
        status = self.counted(new_set, old_sets)
        if not self.has_deadline:
            self._conditions = without_condition(self._conditions, "Progressing")
        old = self.progressing
        was_over = (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and old is not None
            and old.get("reason") == "NewReplicaSetAvailable"
        )
        if self.has_deadline and not was_over and not failure:
            self._judge(new_set, status, old)
        self._conditions = self._with_failure([*([new_set] if new_set else []), *old_sets])
        status = {name: value for name, value in status.items() if name != "conditions"}
        return status | nonzero(conditions=self._conditions)

    def _judge(self, new_set: Manifest | None, status: Manifest, old: Manifest | None) -> None:
        before = self._deployment.get("status") or {}
        metadata = self._deployment["metadata"]
        subject = f'Deployment "{metadata["name"]}"'
        if new_set is not None:
            subject = f'ReplicaSet "{new_set["metadata"]["name"]}"'
        if is_complete(self._deployment, status):
            self.note("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed.")
        elif _has_progressed(before, status):
            self.note("True", "ReplicaSetUpdated", f"{subject} is progressing.", renew=True)
        elif old is not None and old.get("reason") != "NewReplicaSetAvailable":
            late = moment(old["lastUpdateTime"]) + timedelta(seconds=self._spec["progressDeadlineSeconds"]) < self._now
            if late or old.get("reason") == "ProgressDeadlineExceeded":
                self.note("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")

    def _with_failure(self, sets: list[Manifest]) -> list[Manifest]:
        for one in sets:
            found = condition_of(one.get("status") or {}, "ReplicaFailure")
            if found is not None:
                failure = {
                    "type": "ReplicaFailure",
                    "status": found["status"],
                    "lastUpdateTime": found["lastTransitionTime"],
                    "lastTransitionTime": found["lastTransitionTime"],
                    "reason": found.get("reason", ""),
                    "message": found.get("message", ""),
                }
                return with_condition(self._conditions, failure)
        return without_condition(self._conditions, "ReplicaFailure")

    def next_looks(self, status: Manifest) -> Iterator[Action]:
        """Look again when the rollout has taken too long."""
        old = condition_of(status, "Progressing")
        if not self.has_deadline or old is None or old.get("reason") == "ProgressDeadlineExceeded":
            return
        if not is_complete(self._deployment, status):
            due = moment(old["lastUpdateTime"]) + timedelta(seconds=self._spec["progressDeadlineSeconds"])
            yield Again(max((due - self._now).total_seconds(), 0.0) + 1)


def is_complete(deployment: Manifest, status: Manifest) -> bool:
    """Report whether all pods are of the newest template, and available."""
    wanted = deployment["spec"]["replicas"]
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return all(status.get(name, 0) == wanted for name in counts) and seen


def _has_progressed(before: Manifest, after: Manifest) -> bool:
    def old_ones(status: Manifest) -> int:
        count: int = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        return count

    return old_ones(after) < old_ones(before) or any(
        after.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
