"""CronJobs: a Job at each time of a schedule (pkg/controller/cronjob)."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import Action, Again, Create, Delete, Record, SetStatus
from kinformer.testing._apiserver.controllers.conditions import nonzero
from kinformer.testing._apiserver.controllers.cron_schedule import Schedule
from kinformer.testing._apiserver.controllers.jobs import JOBS, finished_condition
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import concerned_owners, is_deleting, moment, reference_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["cronjob_controller"]

CRONJOBS: Final = ("batch", "cronjobs")
_STAMP: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def cronjob_controller() -> Controller:
    """Return the controller of CronJobs."""
    return Controller(
        "cronjob", _reconcile, {CRONJOBS: lambda change, _: [change.key], JOBS: _of_job}, component="cronjob-controller"
    )


def _of_job(change: Change, cluster: Cluster) -> Iterable[Key]:
    return concerned_owners(change, cluster, "CronJob", CRONJOBS)


def _reconcile(key: Key, cluster: Cluster) -> Iterator[Action]:
    cronjob = cluster.get(CRONJOBS, key)
    if cronjob is not None:
        jobs = cluster.controlled(JOBS, cronjob["metadata"]["uid"])
        yield from _CronJob(cronjob, jobs, cluster.now).actions()


class _CronJob:
    """One look at a CronJob.

    Args:
        cronjob: the CronJob.
        jobs: its Jobs.
        now: the time.
    """

    def __init__(self, cronjob: Manifest, jobs: list[Manifest], now: datetime) -> None:
        self._cronjob = cronjob
        self._spec: dict[str, Any] = cronjob["spec"]
        self._jobs = jobs
        self._now = now
        self._status: dict[str, Any] = dict(cronjob.get("status") or {})
        self._out: list[Action] = []

    def actions(self) -> list[Action]:
        """Return the actions of this look."""
        self._look_at_jobs()
        self._forget_jobs()
        if not is_deleting(self._cronjob) and not self._spec.get("suspend"):
            self._start()
        if self._status != (self._cronjob.get("status") or {}):
            # Before a Job is created, so that one that is refused does not keep the rest from being written.
            self._out.insert(0, SetStatus(self._cronjob | {"status": self._status}))
        return self._out

    def _look_at_jobs(self) -> None:
        """Keep the list of the Jobs that run."""
        listed = {one["uid"] for one in self._status.get("active") or ()}
        running, latest = [], self._status.get("lastSuccessfulTime", "")
        for job in self._jobs:
            over = finished_condition(job)
            if not over:
                running.append(_reference(job))
                continue
            name = job["metadata"]["name"]
            if job["metadata"]["uid"] in listed:
                said = f"Saw completed job: {name}, condition: {over}"
                self._out.append(Record(self._cronjob, "SawCompletedJob", said))
            if over == "Complete":
                latest = max(latest, job["status"].get("completionTime", ""))
        running.sort(key=lambda one: one["name"])
        before = {one["uid"]: one for one in self._status.get("active") or ()}
        self._put("active", [before.get(one["uid"], one) for one in running])
        self._put("lastSuccessfulTime", latest)

    def _put(self, field: str, value: Any) -> None:
        if value:
            self._status[field] = value
        else:
            self._status.pop(field, None)

    def _forget_jobs(self) -> None:
        """Delete the oldest Jobs beyond those that are kept."""
        for state, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            ended = [job for job in self._jobs if finished_condition(job) == state and not is_deleting(job)]
            ended.sort(key=lambda job: (job["status"].get("startTime", ""), job["metadata"]["name"]))
            for job in ended[: max(0, len(ended) - self._spec.get(limit, 0))]:
                self._delete(job)

    def _delete(self, job: Manifest) -> None:
        said = f"Deleted job {job['metadata']['name']}"
        self._out += [Delete(JOBS, job, policy="Background"), Record(self._cronjob, "SuccessfulDelete", said)]

    def _start(self) -> None:
        try:
            schedule = Schedule.parse(self._spec["schedule"], self._spec.get("timeZone"))
        except ValueError as error:
            said = f'unparseable schedule: "{self._spec["schedule"]}" : {error}'
            self._out.append(Record(self._cronjob, "UnparseableSchedule", said, warning=True))
            return
        missed = self._last_missed(schedule)
        if missed is not None:
            self._run(missed)
        following = schedule.after(self._now)
        if following is not None:
            self._out.append(Again((following - self._now).total_seconds()))

    def _last_missed(self, schedule: Schedule) -> datetime | None:
        """Return the last time that has passed without a Job, or `None`."""
        begun = moment(self._status.get("lastScheduleTime") or self._cronjob["metadata"]["creationTimestamp"])
        deadline = self._spec.get("startingDeadlineSeconds")
        if deadline is not None:
            begun = max(begun, self._now - timedelta(seconds=deadline))
        last = None
        following = schedule.after(begun)
        while following is not None and following <= self._now:
            last, following = following, schedule.after(following)
        return last

    def _run(self, scheduled: datetime) -> None:
        name = f"{self._cronjob['metadata']['name']}-{int(scheduled.timestamp()) // 60}"
        if any(job["metadata"]["name"] == name for job in self._jobs):
            return
        policy = self._spec.get("concurrencyPolicy")
        running = [job for job in self._jobs if not finished_condition(job)]
        if policy == "Forbid" and running:
            said = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._out.append(Record(self._cronjob, "JobAlreadyActive", said))
            return
        if policy == "Replace":
            for job in running:
                self._delete(job)
            self._status.pop("active", None)
        template = self._spec["jobTemplate"]
        given = template.get("metadata") or {}
        annotations = dict(given.get("annotations") or {}) | {_STAMP: _stamp(scheduled)}
        metadata = {
            "name": name,
            "namespace": self._cronjob["metadata"]["namespace"],
            "annotations": annotations,
            "ownerReferences": [reference_to(self._cronjob)],
        } | nonzero(labels=given.get("labels"))
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}
        self._out.append(Create(job, about=self._cronjob))
        self._out.append(Record(self._cronjob, "SuccessfulCreate", f"Created job {name}"))
        self._status["lastScheduleTime"] = _stamp(scheduled)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reference(job: Manifest) -> Manifest:
    metadata = job["metadata"]
    return {
        "kind": "Job",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": metadata["resourceVersion"],
    }
