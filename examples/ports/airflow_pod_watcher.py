"""Airflow's Kubernetes executor follows the pods of its tasks in a process; this is that watcher on an informer.

    async with Client() as client:
        await watch_pods(client, "airflow", scheduler_job_id="7", report=queue.put)   # until it is cancelled

Each outcome is reported once: `None` for success, "failed", or "adopted" when another scheduler has taken the pod.
The original reports what its watch brings, so a pod that was deleted while no watch was open is never reported. Errors
other than an expired version end its process, and the executor starts another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from kinformer import Client, Deleted, KubeObject, ObjectKey, SharedInformerFactory, Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kinformer.events import Event

FAILED = "failed"
ADOPTED = "adopted"
DONE_LABEL = "airflow_executor_done"
REVOKED_LABEL = "airflow_pod_revoked"


class Outcome(NamedTuple):
    """The end of a task's pod.

    Attributes:
        pod: the key of the pod.
        state: `None` for success, `FAILED` or `ADOPTED`.
        annotations: the pod's annotations, which name the task.
        resource_version: the version of the pod that shows it.
        details: the reason and message of the pod and of its containers, if it failed.
    """

    pod: ObjectKey
    state: str | None
    annotations: Mapping[str, str]
    resource_version: str
    details: Mapping[str, Any] | None = None


def pod_of(event: Event) -> KubeObject:
    """Return the newest state of an event's pod."""
    return event.new if isinstance(event, Updated) else event.obj


def outcome_of(event: Event, fatal_reasons: Collection[str] = ()) -> Outcome | None:
    """Return the outcome that an event shows, or `None` while the task goes on.

    Args:
        event: an event of the pod.
        fatal_reasons: reasons of waiting containers that count as failures, such as "ErrImagePull".
    """
    pod = pod_of(event)
    if REVOKED_LABEL in pod.labels:
        return None
    phase = pod.at("status.phase", default="Unknown")
    if phase == "Succeeded":
        return _outcome(pod, None)
    if phase == "Failed" or pod.at("status.reason") == "ProviderFailed":
        return _outcome(pod, FAILED, _details(pod))
    if isinstance(event, Deleted):
        if not event.final_state_known:
            return _outcome(pod, FAILED)
        if pod.deletion_timestamp is None:
            # A pod whose label has changed is deleted for this watch, and has no deletion timestamp.
            return _outcome(pod, ADOPTED)
        # The executor itself deletes a pod that waits for too long, and knows it.
        return None if phase == "Pending" else _outcome(pod, FAILED)
    if phase == "Pending" and _waits_for(pod) & set(fatal_reasons):
        return _outcome(pod, FAILED)
    return None


async def watch_pods(
    client: Client,
    namespace: str | None,
    *,
    scheduler_job_id: str,
    report: Callable[[Outcome], object],
    fatal_reasons: Collection[str] = (),
) -> None:
    """Report the outcomes of a scheduler's pods until cancelled.

    Args:
        client: an entered client.
        namespace: the namespace of the pods; `None` for all of them.
        scheduler_job_id: the value of the label "airflow-worker".
        report: called with each outcome, such as `put` of a queue.
        fatal_reasons: reasons of waiting containers that count as failures.
    """
    factory = SharedInformerFactory(client)
    selector = f"airflow-worker={scheduler_job_id},{DONE_LABEL}!=True"
    pods = factory.informer("pods", namespace=namespace, label_selector=selector)
    reported: dict[ObjectKey, str] = {}

    def handle(event: Event) -> None:
        pod = pod_of(event)
        outcome = outcome_of(event, fatal_reasons)
        if outcome is not None and reported.get(pod.key) != pod.uid:
            reported[pod.key] = pod.uid
            report(outcome)
        if isinstance(event, Deleted):
            reported.pop(pod.key, None)

    pods.add_event_handler(handle)
    async with factory:
        await asyncio.get_running_loop().create_future()


def _outcome(pod: KubeObject, state: str | None, details: Mapping[str, Any] | None = None) -> Outcome:
    return Outcome(pod.key, state, pod.annotations, pod.resource_version, details)


def _containers(pod: KubeObject) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _waits_for(pod: KubeObject) -> set[str]:
    """The reasons for which containers wait, but for a registry that asks for patience."""
    waiting = [container.get("state", {}).get("waiting") or {} for container in _containers(pod)]
    return {each.get("reason", "") for each in waiting if each.get("message") != "pull QPS exceeded"}


def _details(pod: KubeObject) -> Mapping[str, Any]:
    """The first container that ended badly, and what the pod itself says."""
    details = {"pod_reason": pod.at("status.reason"), "pod_message": pod.at("status.message")}
    for container in _containers(pod):
        ended = container.get("state", {}).get("terminated") or {}
        if ended.get("exitCode"):
            return {**details, "container": container.get("name"), **ended}
    return details
