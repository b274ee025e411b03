"""The CronJob of kubebuilder's tutorial on kinformer: each CronJob (batch.example.com/v1) starts Jobs on a schedule.

kinformer run examples.ports.cron_jobs --install
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cronsim import CronSim, CronSimError

from kinformer import (
    AlreadyExistsError,
    Client,
    Controller,
    Manager,
    NotFoundError,
    ObjectKey,
    Requeue,
    SharedInformerFactory,
    TerminalError,
    owned_by,
)
from kinformer.custom_resources import CustomResource, Format, ObjectMeta, custom_resource
from kinformer.operators.owners import controller_of
from kinformer.resources import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer import KubeObject

SCHEDULED_AT = "batch.example.com/scheduled-at"
MOST_MISSED = 100
Limit = Annotated[int, Format("int32"), msgspec.Meta(ge=0)]


class JobTemplate(msgspec.Struct):
    """The Job that each run makes."""

    spec: dict[str, Any]
    metadata: dict[str, Any] = {}


class CronJobSpec(msgspec.Struct, rename="camel"):
    """The wanted runs.

    Attributes:
        schedule: the times, in the format of cron.
        job_template: the Job of a run.
        concurrency_policy: whether a run may begin while one before it goes on, is left out, or ends that one.
        suspend: whether no further runs begin.
        starting_deadline_seconds: seconds after which a run that was missed is left out.
        successful_jobs_history_limit: number of successful Jobs to keep.
        failed_jobs_history_limit: number of failed Jobs to keep.
    """

    schedule: str
    job_template: JobTemplate
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
    suspend: bool = False
    starting_deadline_seconds: Annotated[int, msgspec.Meta(ge=0)] | None = None
    successful_jobs_history_limit: Limit | None = None
    failed_jobs_history_limit: Limit | None = None


class CronJobStatus(msgspec.Struct, rename="camel"):
    """The present runs.

    Attributes:
        active: the names of the Jobs that run.
        last_schedule_time: the time of the last run that has begun.
    """

    active: list[str] = []
    last_schedule_time: dt.datetime | None = None


@custom_resource(group="batch.example.com", version="v1", kind="CronJob")
class CronJob(CustomResource, msgspec.Struct):
    """Jobs on a schedule."""

    metadata: ObjectMeta
    spec: CronJobSpec
    status: CronJobStatus = msgspec.field(default_factory=CronJobStatus)


def utc_now() -> dt.datetime:
    """Return the present time."""
    return dt.datetime.now(dt.UTC)


def manager(client: Client, *, now: Callable[[], dt.datetime] = utc_now) -> Manager:
    """Make the operator."""
    factory = SharedInformerFactory(client)
    cron_jobs, jobs = factory.informer(CronJob), factory.informer(JOBS)
    jobs.add_indexers({"owner": lambda job: [owner.uid] if (owner := controller_of(job)) else []})
    cached = client.cached(factory)

    async def reconcile(key: ObjectKey) -> Requeue | None:
        cron = cron_jobs.lister.get(key)
        if cron is None:
            return None  # Kubernetes deletes the Jobs together with their owner.
        own = jobs.lister.by_index("owner", cron.metadata.uid)
        active = [job for job in own if not ending(job)]
        runs = [time for job in own if (time := scheduled_at(job))]
        last = max([*runs, *filter(None, [cron.status.last_schedule_time])], default=None)
        status = CronJobStatus(sorted(job.name for job in active), last)
        if status != cron.status:
            # Before any Job is deleted: later, only the status knows the last run.
            await cached.patch_status(CronJob.resource, key, {"status": msgspec.to_builtins(status)})
        for kind, limit in (
            ("Complete", cron.spec.successful_jobs_history_limit),
            ("Failed", cron.spec.failed_jobs_history_limit),
        ):
            ended = [job for job in own if ending(job) == kind]
            ended.sort(key=lambda job: job.at("status.startTime") or "")
            await delete(ended[: len(ended) - limit] if limit is not None else [])
        if cron.spec.suspend:
            return None
        moment = now()
        missed, following = runs_of(cron, last, moment)
        again = Requeue(after=(following - moment).total_seconds())
        if missed is None or (cron.spec.concurrency_policy == "Forbid" and active):
            return again
        if cron.spec.concurrency_policy == "Replace":
            await delete(active)
        # The name follows from the time: if there is such a Job, this run has begun.
        with contextlib.suppress(AlreadyExistsError):
            await cached.create(JOBS, job_of(cron, missed))
        return again

    async def delete(those: Sequence[KubeObject]) -> None:
        for job in those:
            with contextlib.suppress(NotFoundError):
                await cached.delete(JOBS, job, uid=job.uid, propagation_policy="Background")

    controller = Controller("cron-jobs", reconcile).watches(cron_jobs).owns(jobs, owner=cron_jobs)
    return Manager(host="").add(factory, controller)


def ending(job: KubeObject) -> str:
    """Return "Complete" or "Failed" for a Job that has ended; "" for one that goes on."""
    conditions = job.at("status.conditions") or ()
    ends = [each["type"] for each in conditions if each["status"] == "True" and each["type"] in {"Complete", "Failed"}]
    return ends[0] if ends else ""


def scheduled_at(job: KubeObject) -> dt.datetime | None:
    """Return the time of the run that a Job is; `None` if another program made the Job."""
    text = job.annotations.get(SCHEDULED_AT)
    return dt.datetime.fromisoformat(text) if text else None


def runs_of(cron: CronJob, last: dt.datetime | None, now: dt.datetime) -> tuple[dt.datetime | None, dt.datetime]:
    """Return the last run that is due and has not begun, and the one after now.

    Raises:
        TerminalError: the schedule cannot be read, or too many runs were missed.
    """
    created = cron.metadata.creation_timestamp
    earliest = last or created or now
    if (deadline := cron.spec.starting_deadline_seconds) is not None:
        earliest = max(earliest, now - dt.timedelta(seconds=deadline))
    missed = None
    try:
        for number, time in enumerate(CronSim(cron.spec.schedule, earliest)):
            if time > now:
                return missed, time
            if number == MOST_MISSED:
                raise TerminalError("more than 100 runs were missed; set or lower startingDeadlineSeconds")
            missed = time
    except CronSimError as error:
        raise TerminalError(f"the schedule {cron.spec.schedule!r} cannot be read: {error}") from error
    raise TerminalError(f"the schedule {cron.spec.schedule!r} has no further run")


def job_of(cron: CronJob, time: dt.datetime) -> dict[str, Any]:
    """Return the Job of a run."""
    meta, template = cron.metadata, cron.spec.job_template
    annotations = template.metadata.get("annotations", {}) | {SCHEDULED_AT: time.isoformat()}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{meta.name}-{int(time.timestamp())}",
            "namespace": meta.namespace,
            "labels": template.metadata.get("labels", {}),
            "annotations": annotations,
        },
        "spec": template.spec,
    }
    return owned_by(job, cron)
