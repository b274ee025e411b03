"""Jobs: pods that run to completion, so many times (pkg/controller/job)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import (
    Action,
    Again,
    Create,
    Delete,
    Record,
    SetStatus,
    Update,
    key_of,
)
from kinformer.testing._apiserver.controllers.cluster import PODS, controller_of
from kinformer.testing._apiserver.controllers.conditions import condition_of, is_true, nonzero
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import (
    claim,
    concerned_owners,
    from_template,
    is_active,
    is_deleting,
    is_finished,
    is_ready,
    moment,
    phase_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change

__all__ = ["JOBS", "finished_condition", "job_controller"]

JOBS: Final = ("batch", "jobs")
_TRACKED: Final = "batch.kubernetes.io/job-tracking"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"

_FIRST_BACKOFF: Final = 10.0
_LAST_BACKOFF: Final = 600.0


def job_controller() -> Controller:
    """Return the controller of Jobs."""
    return Controller("job", _reconcile, {JOBS: _of_job, PODS: _of_pod}, component="job-controller")


_POD: Final = "pod"
"""Marks the key of a pod whose Job is gone."""


def _of_job(change: Change, cluster: Cluster) -> Iterable[tuple[str, ...]]:
    if change.kind != "DELETED":
        return [change.key]
    return [(*key_of(pod), _POD) for pod in cluster.controlled(PODS, change.new.manifest["metadata"]["uid"])]


def _of_pod(change: Change, cluster: Cluster) -> Iterable[tuple[str, ...]]:
    yield from concerned_owners(change, cluster, "Job", JOBS)
    if _TRACKED in (change.new.manifest["metadata"].get("finalizers") or ()) and change.kind != "DELETED":
        yield (*change.key, _POD)


def _release(pod: Manifest | None, cluster: Cluster) -> Iterator[Action]:
    """Take the finalizer from a pod whose Job is gone."""
    if pod is None or _TRACKED not in (pod["metadata"].get("finalizers") or ()):
        return
    reference = controller_of(pod)
    job = None if reference is None else cluster.get(JOBS, (key_of(pod)[0], reference["name"]))
    if reference is None or job is None or job["metadata"]["uid"] != reference["uid"]:
        yield Update(_untracked(pod))


def finished_condition(job: Manifest) -> str:
    """Return "Complete" or "Failed" for a Job that is over, and "" for another."""
    status = job.get("status") or {}
    return next((kind for kind in ("Complete", "Failed") if is_true(status, kind)), "")


def _reconcile(item: tuple[str, ...], cluster: Cluster) -> Iterator[Action]:
    key = item[0], item[1]
    if item[2:]:
        yield from _release(cluster.get(PODS, key), cluster)
        return
    job = cluster.get(JOBS, key)
    if job is None or job["spec"].get("managedBy"):
        return
    if finished_condition(job):
        yield from _clean_up(job, cluster)
        return
    pods, claims = claim(cluster, PODS, job, job["spec"].get("selector") or {})
    yield from claims
    yield from _Job(job, pods, cluster.now, cluster.stamp).actions()


def _clean_up(job: Manifest, cluster: Cluster) -> Iterator[Action]:
    """Release the pods of a Job that is over, and delete it when its time is up (pkg/controller/ttlafterfinished)."""
    for pod in cluster.controlled(PODS, job["metadata"]["uid"]):
        if _TRACKED in (pod["metadata"].get("finalizers") or ()):
            yield Update(_untracked(pod))
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None or is_deleting(job):
        return
    condition = condition_of(job["status"], finished_condition(job))
    assert condition is not None
    left = (moment(condition["lastTransitionTime"]) + timedelta(seconds=seconds) - cluster.now).total_seconds()
    yield Again(left) if left > 0 else Delete(JOBS, job, policy="Foreground")


def _untracked(pod: Manifest) -> Manifest:
    left = [name for name in pod["metadata"].get("finalizers") or () if name != _TRACKED]
    return pod | {"metadata": pod["metadata"] | {"finalizers": left}}


class _Job:
    """One look at a Job.

    Args:
        job: the Job.
        pods: its pods.
        now: the time.
        stamp: the time as objects carry it.
    """

    def __init__(self, job: Manifest, pods: list[Manifest], now: datetime, stamp: str) -> None:
        self._job = job
        self._spec: dict[str, Any] = job["spec"]
        self._now = now
        self._stamp = stamp
        self._pods = pods
        self._before: dict[str, Any] = job.get("status") or {}
        self._conditions: list[Manifest] = list(self._before.get("conditions") or ())
        self._indexed = self._spec.get("completionMode") == "Indexed"
        self._out: list[Action] = []
        self._active = [pod for pod in pods if is_active(pod)]
        self._done = _numbers(self._before.get("completedIndexes", ""))
        self._succeeded: int = self._before.get("succeeded", 0)
        self._failed: int = self._before.get("failed", 0)

    def actions(self) -> list[Action]:
        """Return the actions of this look."""
        suspended = bool(self._spec.get("suspend"))
        started = self._before.get("startTime")
        if not started and not suspended:
            started = self._stamp
        counted = self._count()
        verdict = self._verdict(started)
        ending = condition_of({"conditions": self._conditions}, "FailureTarget")
        ending = ending or condition_of({"conditions": self._conditions}, "SuccessCriteriaMet")
        if ending is None and verdict is not None:
            ending = verdict
            self._conditions.append(verdict)
        created = 0
        if is_deleting(self._job):
            pass
        elif ending is not None:
            self._out += [Delete(PODS, pod, about=self._job) for pod in self._active]
            if not self._active and not any(is_deleting(pod) and not is_finished(pod) for pod in self._pods):
                self._finish(ending)
        elif suspended:
            self._out += [Delete(PODS, pod, about=self._job) for pod in self._active]
            started = None
            self._note_suspension("True", "JobSuspended", "Job suspended")
        else:
            if is_true(self._before, "Suspended"):
                self._note_suspension("False", "JobResumed", "Job resumed")
                started = self._stamp
            created = self._replace()
        self._report(started, active=0 if ending or suspended else len(self._active) + created)
        # After the counts are written, nothing needs the pods any more.
        self._out += [Update(_untracked(pod)) for pod in counted]
        return self._out

    def _count(self) -> list[Manifest]:
        """Count the pods that have ended since the last look, and return them."""
        counted = []
        for pod in self._pods:
            if _TRACKED not in (pod["metadata"].get("finalizers") or ()):
                continue
            phase = phase_of(pod)
            index = _index_of(pod)
            if phase == "Succeeded":
                counted.append(pod)
                if not self._indexed:
                    self._succeeded += 1
                elif index is not None and index < (self._spec.get("completions") or 0):
                    self._done.add(index)
            elif phase == "Failed" or (is_deleting(pod) and self._spec.get("podReplacementPolicy") != "Failed"):
                counted.append(pod)
                self._failed += 1
        if self._indexed:
            self._succeeded = len(self._done)
        return counted

    def _verdict(self, started: str | None) -> Manifest | None:
        """Return the condition that ends the Job, or `None`."""
        limit = self._spec["backoffLimit"]
        restarts = sum(
            container.get("restartCount", 0)
            for pod in self._active
            for container in (pod.get("status") or {}).get("containerStatuses") or ()
        )
        on_failure = self._spec["template"]["spec"].get("restartPolicy") == "OnFailure"
        if self._failed > limit or (on_failure and restarts >= max(limit, 1)):
            why = "Job has reached the specified backoff limit"
            return self._condition("FailureTarget", "BackoffLimitExceeded", why)
        deadline = self._spec.get("activeDeadlineSeconds")
        if deadline is not None and started and not self._spec.get("suspend"):
            left = (moment(started) + timedelta(seconds=deadline) - self._now).total_seconds()
            if left <= 0:
                why = "Job was active longer than specified deadline"
                return self._condition("FailureTarget", "DeadlineExceeded", why)
            self._out.append(Again(left))
        completions = self._spec.get("completions")
        enough = self._succeeded >= completions if completions is not None else self._succeeded and not self._active
        if enough:
            why = "Reached expected number of succeeded pods"
            return self._condition("SuccessCriteriaMet", "CompletionsReached", why)
        return None

    def _condition(self, kind: str, reason: str, message: str, state: str = "True") -> Manifest:
        return {
            "type": kind,
            "status": state,
            "lastProbeTime": self._stamp,
            "lastTransitionTime": self._stamp,
            "reason": reason,
            "message": message,
        }

    def _finish(self, ending: Manifest) -> None:
        failed = ending["type"] == "FailureTarget"
        kind = "Failed" if failed else "Complete"
        self._conditions.append(self._condition(kind, ending["reason"], ending["message"]))
        if failed:
            self._out.append(Record(self._job, ending["reason"], ending["message"], warning=True))
        else:
            self._out.append(Record(self._job, "Completed", "Job completed"))

    def _note_suspension(self, state: str, reason: str, message: str) -> None:
        old = condition_of({"conditions": self._conditions}, "Suspended")
        if old is None or old["status"] != state:
            self._conditions = [one for one in self._conditions if one["type"] != "Suspended"]
            self._conditions.append(self._condition("Suspended", reason, message, state))
            self._out.append(Record(self._job, reason.removeprefix("Job"), message))

    def _replace(self) -> int:
        """Create the pods that are missing, or delete those that are too many; returns how many are created."""
        completions = self._spec.get("completions")
        wanted: int = self._spec["parallelism"]
        if completions is not None:
            wanted = min(wanted, completions - self._succeeded)
        elif self._succeeded:
            # One success is enough to start no more.
            wanted = min(wanted, len(self._active))
        lack = wanted - len(self._active)
        if lack < 0:
            surplus = sorted(self._active, key=lambda pod: (is_ready(pod), phase_of(pod) == "Running"))
            self._out += [Delete(PODS, pod, about=self._job) for pod in surplus[:-lack]]
            return lack
        if self._spec.get("podReplacementPolicy") == "Failed":
            lack -= sum(is_deleting(pod) and not is_finished(pod) for pod in self._pods)
        if lack <= 0:
            return 0
        wait = self._backoff()
        if wait > 0:
            self._out.append(Again(wait))
            return 0
        taken = self._done | {index for pod in self._active if (index := _index_of(pod)) is not None}
        free = iter([index for index in range(completions or 0) if index not in taken] if self._indexed else ())
        for _ in range(lack):
            index = next(free, None)
            if self._indexed and index is None:
                break
            self._out.append(Create(self._pod(index), about=self._job, reported=True))
        return lack

    def _backoff(self) -> float:
        """Return the seconds until a failed pod may be replaced: 10, 20, 40, ..."""
        ends = [_ended(pod) for pod in self._pods if phase_of(pod) == "Failed"]
        times = [moment(end) for end in ends if end]
        if not times:
            return 0.0
        delay = min(_FIRST_BACKOFF * 2 ** (max(self._failed, 1) - 1), _LAST_BACKOFF)
        return (max(times) + timedelta(seconds=delay) - self._now).total_seconds()

    def _pod(self, index: int | None) -> Manifest:
        pod = from_template(self._job, self._spec["template"])
        metadata = pod["metadata"]
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), _TRACKED]
        if index is not None:
            name = self._job["metadata"]["name"]
            metadata["generateName"] = f"{name}-{index}-"
            metadata["annotations"] = dict(metadata.get("annotations") or {}) | {_INDEX: str(index)}
            metadata["labels"] = dict(metadata.get("labels") or {}) | {_INDEX: str(index)}
            path = f"metadata.labels['{_INDEX}']"
            variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}
            pod["spec"]["hostname"] = f"{name}-{index}"
            pod["spec"]["containers"] = [
                container | {"env": [*(container.get("env") or ()), variable]}
                for container in pod["spec"]["containers"]
            ]
        return pod

    def _report(self, started: str | None, *, active: int) -> None:
        ready = sum(is_ready(pod) for pod in self._active)
        over = any(one["type"] in {"Complete", "Failed"} for one in self._conditions)
        status = nonzero(conditions=self._conditions, startTime=started)
        if over and any(one["type"] == "Complete" for one in self._conditions):
            status["completionTime"] = self._stamp
        status |= nonzero(active=max(active, 0), succeeded=self._succeeded, failed=self._failed)
        status["terminating"] = sum(is_deleting(pod) and not is_finished(pod) for pod in self._pods)
        status |= nonzero(completedIndexes=_spelled(self._done) if self._indexed else "")
        status["uncountedTerminatedPods"] = {}
        status["ready"] = 0 if over else ready
        if status != self._before:
            self._out.append(SetStatus(self._job | {"status": status}))


def _ended(pod: Manifest) -> str:
    """Return when the last container of a pod ended, or ""."""
    states = [one.get("state") or {} for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    return max((state.get("terminated", {}).get("finishedAt", "") for state in states), default="")


def _index_of(pod: Manifest) -> int | None:
    text = (pod["metadata"].get("annotations") or {}).get(_INDEX, "")
    return int(text) if text.isdecimal() else None


def _numbers(text: str) -> set[int]:
    """Read numbers as the status of a Job has them: "1,3-5"."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _spelled(numbers: set[int]) -> str:
    """Write numbers as the status of a Job has them: "1,3-5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    # As Go does, two neighbours are a list and three are a range.
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in parts)
