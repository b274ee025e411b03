"""CronJobs: schedules, concurrency, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing.build import job

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

BATCH = "batch/v1"


def _cronjob(schedule: str = "*/5 * * * *", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"template": job("x")["spec"]["template"]}}
    body = {"schedule": schedule, "jobTemplate": template}
    return {"apiVersion": BATCH, "kind": "CronJob", "metadata": {"name": "tick"}, "spec": body | spec}


def _jobs(cluster: ClusterInTime) -> list[str]:
    return sorted(cluster.names(BATCH, "Job"))


def test_a_job_starts_at_each_time_of_the_schedule(cluster: ClusterInTime) -> None:
    cluster.create(_cronjob())
    cluster.later(299, step=299)
    assert _jobs(cluster) == []
    cluster.later(1)
    (name,) = _jobs(cluster)
    # Minutes since 1970.
    assert name == "tick-29453765"
    made = cluster.get(BATCH, "Job", name)
    assert made["metadata"]["annotations"] == {
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T00:05:00Z"
    }
    status = cluster.status(BATCH, "CronJob", "tick")
    assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [one["name"] for one in status["active"]] == [name]
    cluster.later(2)
    status = cluster.status(BATCH, "CronJob", "tick")
    assert "active" not in status
    assert status["lastSuccessfulTime"] == "2026-01-01T00:05:01Z"
    assert cluster.events("CronJob") == [
        f"SuccessfulCreate: Created job {name}",
        f"SawCompletedJob: Saw completed job: {name}, condition: Complete",
    ]


def test_forbid_starts_no_second_job_and_replace_ends_the_first(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("tick-*", runs_for=1000)
    cluster.create(_cronjob(concurrencyPolicy="Forbid"))
    cluster.later(601, step=60)
    first = _jobs(cluster)
    assert len(first) == 1
    assert any(event.startswith("JobAlreadyActive") for event in cluster.events("CronJob"))
    cluster.patch(BATCH, "CronJob", "tick", {"spec": {"concurrencyPolicy": "Replace"}})
    cluster.later(300, step=60)
    second = _jobs(cluster)
    assert len(second) == 1
    assert second != first


def test_only_the_newest_jobs_are_kept(cluster: ClusterInTime) -> None:
    cluster.create(_cronjob("* * * * *", successfulJobsHistoryLimit=2))
    cluster.later(310, step=10)
    assert len(_jobs(cluster)) == 2


def test_a_suspended_cronjob_starts_nothing(cluster: ClusterInTime) -> None:
    cluster.create(_cronjob(suspend=True))
    cluster.later(900, step=300)
    assert _jobs(cluster) == []


def test_a_time_that_is_missed_by_too_much_is_left_out(cluster: ClusterInTime) -> None:
    cluster.create(_cronjob(startingDeadlineSeconds=30))
    cluster.later(360, step=360)
    assert _jobs(cluster) == []


def test_of_several_missed_times_only_the_last_one_counts(cluster: ClusterInTime) -> None:
    cluster.create(_cronjob())
    cluster.later(1000, step=1000)
    assert len(_jobs(cluster)) == 1
    assert cluster.status(BATCH, "CronJob", "tick")["lastScheduleTime"] == "2026-01-01T00:15:00Z"
