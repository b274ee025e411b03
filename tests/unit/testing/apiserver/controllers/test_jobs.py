"""Jobs: completions, failures, deadlines, indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing.build import job

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

BATCH = "batch/v1"


def _status(cluster: ClusterInTime) -> dict[str, Any]:
    status = dict(cluster.status(BATCH, "Job", "run"))
    status["conditions"] = [f"{one['type']}={one['status']}: {one['reason']}" for one in status.get("conditions", ())]
    return status


def test_a_job_runs_so_many_pods_at_once_until_enough_have_succeeded(cluster: ClusterInTime) -> None:
    cluster.create(job("run", completions=3, parallelism=2))
    assert (_status(cluster)["active"], _status(cluster)["startTime"]) == (2, "2026-01-01T00:00:00Z")
    cluster.later(1)
    assert (_status(cluster)["succeeded"], _status(cluster)["active"]) == (2, 1)
    cluster.later(1)
    assert _status(cluster) == {
        "conditions": ["SuccessCriteriaMet=True: CompletionsReached", "Complete=True: CompletionsReached"],
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:02Z",
        "succeeded": 3,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "ready": 0,
    }
    assert [pod["metadata"].get("finalizers") for pod in cluster.server.list("v1", "Pod")] == [None] * 3
    assert "Completed: Job completed" in cluster.events("Job")


def test_failed_pods_are_replaced_ever_later_until_the_limit(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("run-*", runs_for=1, exit_code=2)
    cluster.create(job("run", spec={"backoffLimit": 2}))
    counts = []
    for _ in range(40):
        cluster.later(1)
        counts.append(len(cluster.server.list("v1", "Pod")))
    # The second pod starts after 10 seconds, the third after 20 more.
    assert (counts[8], counts[12], counts[38]) == (1, 2, 3)
    status = _status(cluster)
    assert status["conditions"] == ["FailureTarget=True: BackoffLimitExceeded", "Failed=True: BackoffLimitExceeded"]
    assert status["failed"] == 3
    assert "BackoffLimitExceeded: Job has reached the specified backoff limit" in cluster.events("Job")


def test_restarts_within_a_pod_count_for_the_limit(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("run-*", runs_for=1, exit_code=2)
    manifest = job("run", spec={"backoffLimit": 1})
    manifest["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    cluster.create(manifest)
    cluster.later(3)
    assert _status(cluster)["conditions"][-1] == "Failed=True: BackoffLimitExceeded"


def test_a_job_ends_at_its_deadline(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("run-*", runs_for=100)
    cluster.create(job("run", spec={"activeDeadlineSeconds": 5}))
    cluster.later(6)
    assert _status(cluster)["conditions"] == [
        "FailureTarget=True: DeadlineExceeded",
        "Failed=True: DeadlineExceeded",
    ]
    assert cluster.pods() == []


def test_each_index_is_completed_once(cluster: ClusterInTime) -> None:
    cluster.create(job("run", completions=5, parallelism=5, spec={"completionMode": "Indexed"}))
    pods = {pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: pod for pod in cluster.pods()}
    assert sorted(pods) == ["0", "1", "2", "3", "4"]
    assert pods["3"]["spec"]["hostname"] == "run-3"
    assert pods["3"]["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    cluster.server.pods.script("run-1-*", runs_for=50)
    for number in (0, 2, 3, 4):
        cluster.server.pods.succeed(f"run-{number}-*")
    cluster.server.settle()
    assert (_status(cluster)["completedIndexes"], _status(cluster)["succeeded"]) == ("0,2-4", 4)


def test_a_suspended_job_has_no_pods(cluster: ClusterInTime) -> None:
    cluster.create(job("run", spec={"suspend": True}))
    assert cluster.pods() == []
    assert _status(cluster)["conditions"] == ["Suspended=True: JobSuspended"]
    assert "startTime" not in _status(cluster)
    cluster.patch(BATCH, "Job", "run", {"spec": {"suspend": False}})
    assert len(cluster.pods()) == 1
    assert _status(cluster)["conditions"] == ["Suspended=False: JobResumed"]


def test_without_completions_the_first_success_ends_the_job(cluster: ClusterInTime) -> None:
    manifest = job("run", parallelism=3)
    del manifest["spec"]["completions"]
    cluster.server.pods.script("run-*", runs_for=100)
    cluster.create(manifest)
    first = cluster.pods()[0]["metadata"]["name"]
    cluster.server.pods.succeed(first)
    cluster.server.settle()
    assert _status(cluster)["active"] == 2
    cluster.server.pods.succeed("run-*")
    cluster.server.settle()
    assert _status(cluster)["conditions"][-1] == "Complete=True: CompletionsReached"


def test_a_finished_job_goes_after_its_time(cluster: ClusterInTime) -> None:
    cluster.create(job("run", spec={"ttlSecondsAfterFinished": 10}))
    cluster.later(5)
    assert cluster.names(BATCH, "Job") == ["run"]
    cluster.later(10)
    assert cluster.names(BATCH, "Job") == cluster.names("v1", "Pod") == []


def test_a_deleted_job_leaves_no_pods(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("run-*", runs_for=100)
    cluster.create(job("run"))
    cluster.delete(BATCH, "Job", "run", policy="Background")
    assert cluster.names("v1", "Pod") == []
