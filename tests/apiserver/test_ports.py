"""The ports of other projects' watchers keep what the originals promise, also when the network does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from examples.ports.airflow_pod_watcher import (
    ADOPTED,
    DONE_LABEL,
    FAILED,
    REVOKED_LABEL,
    Outcome,
    outcome_of,
    watch_pods,
)
from examples.ports.dask_gateway_informer import Informer
from examples.ports.kubespawner_reflector import ResourceReflector
from kinformer import CacheSyncError, Deleted, KubeObject, ObjectKey
from kinformer.resources import PODS
from kinformer.testing import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer import Client
    from kinformer.testing import ApiServer
    from kinformer.testing.faults import Faults

LABELS = {"component": "singleuser-server"}


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def lose_while_away(kube_api: ApiServer, kube_faults: Faults, name: str) -> None:
    """Delete a pod while no watch brings anything, and forget the history."""
    kube_faults.freeze_watches()
    kube_api.delete("v1", "Pod", name)
    kube_faults.expire()
    kube_faults.drop_watches()


async def test_a_reflector_has_the_objects_of_its_namespace_and_labels(
    kube_api: ApiServer, kube_client: Client, kube_faults: Faults
) -> None:
    kube_api.create(build.namespace("hub"))
    kube_api.create(build.pod("ada", "hub", labels=LABELS))
    kube_api.create(build.pod("other", "hub"))
    kube_api.create(build.pod("ada", labels=LABELS))
    reflector = ResourceReflector(kube_client, "pods", namespace="hub", labels=LABELS)
    await reflector.start()
    assert reflector.first_load_future.done()
    assert dict(reflector.resources)["hub/ada"]["metadata"]["name"] == "ada"
    assert list(reflector.resources) == ["hub/ada"]
    kube_api.create(build.pod("eve", "hub", labels=LABELS))
    await eventually(lambda: "hub/eve" in reflector.resources)
    kube_faults.freeze_watches()
    kube_api.delete("v1", "Pod", "ada", "hub")
    kube_faults.expire()
    kube_faults.drop_watches()
    await eventually(lambda: list(reflector.resources) == ["hub/eve"])
    await reflector.stop()


async def test_a_reflector_that_may_not_list_fails_at_its_start(kube_client: Client, kube_faults: Faults) -> None:
    kube_faults.fail_next(1000, status=403)
    reflector = ResourceReflector(kube_client, "pods", namespace="hub")
    with pytest.raises(CacheSyncError, match="ForbiddenError|403"):
        await reflector.start()
    with pytest.raises(CacheSyncError):
        await reflector.first_load_future


async def test_a_reflector_calls_on_failure_when_its_patience_has_ended(
    kube_client: Client, kube_faults: Faults
) -> None:
    failed = asyncio.Event()
    reflector = ResourceReflector(kube_client, "pods", namespace="hub", on_failure=failed.set, patience=0.1)
    await reflector.start()
    kube_faults.fail_next(1000, status=500)
    kube_faults.drop_watches()
    async with asyncio.timeout(60):
        await failed.wait()
    await reflector.stop()


async def test_an_informer_reports_each_change_once_with_the_old_state(
    kube_api: ApiServer, kube_client: Client, kube_faults: Faults
) -> None:
    seen: list[tuple[str, str | None, str]] = []

    def on_update(pod: KubeObject, old: KubeObject | None = None) -> None:
        before = None if old is None else old.at("status.phase")
        seen.append((pod.name, before, pod.at("status.phase")))

    def on_delete(pod: KubeObject) -> None:
        seen.append((pod.name, "deleted", ""))

    kube_api.create(build.pod("a"))
    kube_api.create(build.pod("b"))
    informer = Informer(kube_client, "pods", on_update=on_update, on_delete=on_delete)
    await informer.start(timeout=30)
    await eventually(lambda: sorted(seen) == [("a", None, "Pending"), ("b", None, "Pending")])
    found = informer.get("default.a")
    assert found is not None
    assert found.name == "a"
    kube_api.update(build.pod("a", phase="Running"), subresource="status")
    await eventually(lambda: len(seen) == 3)
    assert seen[2] == ("a", "Pending", "Running")
    lose_while_away(kube_api, kube_faults, "b")  # the original calls on_update("a") here, too
    await eventually(lambda: len(seen) == 4)
    assert seen[3] == ("b", "deleted", "")
    await informer.stop()


def task(name: str, **more: Any) -> dict[str, Any]:
    return build.pod(
        name, labels={"airflow-worker": "7"}, metadata={"annotations": {"dag_id": "d", "task_id": name}}, **more
    )


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "base", "state": state}]}


@pytest.mark.parametrize(
    ("phase", "final_state_known", "state"),
    [("Pending", True, "none"), ("Running", True, FAILED), ("Pending", False, FAILED)],
)
def test_the_deletion_of_a_pod_that_never_started_is_no_failure_of_its_task(
    phase: str, final_state_known: bool, state: str
) -> None:
    manifest = task("web-0", status={"phase": phase})
    manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    event = Deleted(KubeObject.from_dict(manifest, PODS), final_state_known=final_state_known)
    outcome = outcome_of(event)
    assert (outcome.state if outcome is not None else "none") == state


async def test_each_end_of_a_task_is_reported_once(
    kube_api: ApiServer, kube_client: Client, kube_faults: Faults
) -> None:
    outcomes: list[Outcome] = []

    def states() -> dict[str, str | None]:
        return {outcome.pod.name: outcome.state for outcome in outcomes}

    for name in ("works", "fails", "adopted", "revoked", "pulls", "patient", "lost", "done"):
        kube_api.create(task(name))
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(
            watch_pods(
                kube_client, "default", scheduler_job_id="7", report=outcomes.append, fatal_reasons={"ErrImagePull"}
            )
        )

        def status(name: str, status: dict[str, Any]) -> None:
            kube_api.update(task(name, status=status), subresource="status")

        status("done", {"phase": "Succeeded"})
        await eventually(lambda: states() == {"done": None})
        status("works", {"phase": "Succeeded"})
        ended = {"name": "base", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
        status("fails", {"phase": "Failed", "reason": "Evicted", "containerStatuses": [ended]})
        status("pulls", waiting("ErrImagePull", "no such image"))
        status("patient", waiting("ErrImagePull", "pull QPS exceeded"))
        kube_api.patch("v1", "Pod", "adopted", {"metadata": {"labels": {"airflow-worker": "8"}}})
        kube_api.patch("v1", "Pod", "revoked", {"metadata": {"labels": {REVOKED_LABEL: "True"}}})
        kube_api.delete("v1", "Pod", "revoked")
        await eventually(lambda: len(outcomes) == 5)
        kube_api.patch("v1", "Pod", "works", {"metadata": {"labels": {DONE_LABEL: "True"}}})  # it leaves the selector
        lose_while_away(kube_api, kube_faults, "lost")  # the original never reports this one
        await eventually(lambda: "lost" in states())
        assert states() == {
            "done": None,
            "works": None,
            "fails": FAILED,
            "adopted": ADOPTED,
            "pulls": FAILED,
            "lost": FAILED,
        }
        assert len(outcomes) == 6
        failure = next(outcome for outcome in outcomes if outcome.pod == ObjectKey("default", "fails"))
        assert failure.annotations["task_id"] == "fails"
        assert failure.details is not None
        assert (failure.details["pod_reason"], failure.details["exitCode"]) == ("Evicted", 3)
        watcher.cancel()
