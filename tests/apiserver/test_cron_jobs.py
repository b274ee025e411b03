"""The CronJob of kubebuilder's tutorial on kinformer: its rules, kept whatever happens to its requests."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
from typing import TYPE_CHECKING, Any

import pytest

from examples.ports import cron_jobs
from kinformer import Client, ClusterConfig
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

virtual = pytest.mark.looptime
BEGIN = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TEMPLATE = {
    "metadata": {"labels": {"app": "report"}, "annotations": {"team": "a"}},
    "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a.example/report:1"}]}}
    },
}


class World:
    """A server and the operator; both have the clock of the event loop."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self.server = ApiServer(controllers=["garbage-collector"], clock=self.now)

    def now(self) -> dt.datetime:
        return BEGIN + dt.timedelta(seconds=asyncio.get_running_loop().time() - self._began)

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[None]:
        async with Client(ClusterConfig.for_server(self.server.url)) as client, cron_jobs.manager(client, now=self.now):
            yield

    def create(self, name: str = "a", schedule: str = "* * * * *", **spec: Any) -> None:
        spec |= {"schedule": schedule, "jobTemplate": TEMPLATE}
        metadata = {"name": name, "namespace": "default"}
        self.server.create(
            {"apiVersion": "batch.example.com/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
        )

    def end(self, name: str, kind: str = "Complete") -> None:
        stamp = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        # A real server wants the whole history of an end.
        kinds = ["SuccessCriteriaMet", kind] if kind == "Complete" else ["FailureTarget", kind]
        status: dict[str, Any] = {
            "startTime": stamp,
            "conditions": [{"type": each, "status": "True", "lastTransitionTime": stamp} for each in kinds],
        }
        if kind == "Complete":
            status |= {"completionTime": stamp, "succeeded": 1}
        self.server.patch("batch/v1", "Job", name, {"status": status}, subresource="status")

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["metadata"]["name"]: job for job in self.server.list("batch/v1", "Job")}

    @property
    def runs(self) -> list[str]:
        """The times of the Jobs that are there."""
        return sorted(job["metadata"]["annotations"][cron_jobs.SCHEDULED_AT][11:16] for job in self.jobs.values())

    def status(self, name: str = "a") -> dict[str, Any]:
        found: dict[str, Any] = self.server.get("batch.example.com/v1", "CronJob", name).get("status", {})
        return found


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[World]:
    """A world in the loop of the test: that of a fixture has another time."""
    made = World()
    async with made.server:
        made.server.create(cron_jobs.CronJob.crd())
        yield made


@virtual
async def test_a_job_begins_at_each_time_and_is_in_the_status_while_it_runs() -> None:
    async with running() as world, world.operator():
        world.create()
        await asyncio.sleep(150)
        assert world.runs == ["12:01", "12:02"]
        (first, second) = sorted(world.jobs)
        made = world.jobs[first]
        assert first == f"a-{int((BEGIN + dt.timedelta(minutes=1)).timestamp())}"
        assert made["metadata"]["labels"]["app"] == "report"
        assert made["metadata"]["annotations"]["team"] == "a"
        assert made["metadata"]["ownerReferences"][0]["controller"]
        assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "a.example/report:1"
        assert world.status() == {"active": [first, second], "lastScheduleTime": "2026-03-01T12:02:00Z"}
        world.end(first)
        await asyncio.sleep(1)
        assert world.status()["active"] == [second]
        world.server.delete("batch.example.com/v1", "CronJob", "a")
        await asyncio.sleep(1)
        assert world.runs == []


@virtual
@pytest.mark.parametrize(
    ("policy", "runs"),
    [("Allow", ["12:01", "12:02", "12:03"]), ("Forbid", ["12:01"]), ("Replace", ["12:03"])],
)
async def test_a_run_beside_one_that_goes_on_is_as_the_policy_says(policy: str, runs: list[str]) -> None:
    async with running() as world, world.operator():
        world.create(concurrencyPolicy=policy)
        await asyncio.sleep(200)
        assert world.runs == runs


@virtual
async def test_the_newest_ended_jobs_are_kept_and_a_run_whose_job_is_gone_is_not_repeated() -> None:
    async with running() as world, world.operator():
        world.create(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
        for number in range(1, 5):
            await asyncio.sleep(62 if number == 1 else 60)
            world.end(max(world.jobs), "Failed" if number % 2 else "Complete")
        await asyncio.sleep(1)
        assert world.runs == ["12:04"]
        assert world.status()["lastScheduleTime"] == "2026-03-01T12:04:00Z"
        assert world.status()["active"] == []


@virtual
async def test_of_the_missed_runs_the_last_begins_unless_it_is_too_late() -> None:
    async with running() as world:
        world.create("a", "*/10 * * * *")
        world.create("b", "*/10 * * * *", startingDeadlineSeconds=120)
        await asyncio.sleep(25 * 60)
        async with world.operator():
            await asyncio.sleep(1)
            assert [name[0] for name in world.jobs] == ["a"]
            assert world.runs == ["12:20"]
            await asyncio.sleep(6 * 60)
            assert world.runs == ["12:20", "12:30", "12:30"]


@virtual
async def test_none_begins_while_suspended_after_too_many_missed_ones_or_with_a_schedule_that_cannot_be_read() -> None:
    async with running() as world:
        world.create("a", suspend=True)
        world.create("b")
        world.create("c", "every day")
        await asyncio.sleep(102 * 60)
        async with world.operator():
            await asyncio.sleep(90)
            assert world.runs == []
            world.server.patch("batch.example.com/v1", "CronJob", "c", {"spec": {"schedule": "*/2 * * * *"}})
            await asyncio.sleep(60)
            assert {name[0] for name in world.jobs} == {"c"}


async def play(seed: int) -> None:
    """End Jobs, and let requests fail, watches break and the operator start anew, at random.

    No run begins twice, the policy and the limits are kept, and the runs go on.
    """
    rng = random.Random(seed)
    world = World()
    policy = rng.choice(["Allow", "Forbid", "Replace"])
    begun: dict[str, str] = {}
    async with world.server as server:
        server.create(cron_jobs.CronJob.crd())
        world.create(concurrencyPolicy=policy, successfulJobsHistoryLimit=2)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(world.operator())
            for _ in range(40):
                faults = server.faults
                match rng.randrange(7):
                    case 0:
                        faults.drop_watches()
                    case 1:
                        faults.cut_mid_line()
                    case 2:
                        verb = rng.choice(["create", "patch", "delete", "list", None])
                        faults.fail_next(rng.randint(1, 3), status=rng.choice([409, 429, 500, 503]), verb=verb)
                    case 3:
                        faults.drop_watches()
                        faults.expire()
                    case 4:
                        await stack.aclose()
                        await stack.enter_async_context(world.operator())
                    case _:
                        for name in world.status().get("active", []):
                            if name in world.jobs and rng.random() < 0.7:
                                world.end(name)
                await asyncio.sleep(rng.choice([0, 1, 20, 45]))
                for job in world.jobs.values():
                    metadata = job["metadata"]
                    assert (
                        begun.setdefault(metadata["annotations"][cron_jobs.SCHEDULED_AT], metadata["uid"])
                        == metadata["uid"]
                    )
                if policy != "Allow":
                    assert sum(not job.get("status", {}).get("conditions") for job in world.jobs.values()) <= 1
            server.faults.clear()
            for name in world.jobs:
                if not world.jobs[name].get("status", {}).get("conditions"):
                    world.end(name)
            began = world.now()
            await asyncio.sleep(400)
            minutes = [began + dt.timedelta(minutes=number) for number in range(1, 7)]
            if policy == "Allow":
                assert {each.strftime("%H:%M") for each in minutes} <= {*world.runs}
            if policy == "Replace":
                # The run of this minute, or the one before it if this minute has just begun.
                newest = {(world.now() - dt.timedelta(seconds=seconds)).strftime("%H:%M") for seconds in (0, 2)}
                assert newest & {*world.runs}
            # Under "Forbid", the last run that was left out may begin when the one before it ends.
            assert max(world.runs) >= began.strftime("%H:%M")
            ended = [job for job in world.jobs.values() if job.get("status", {}).get("conditions")]
            assert len(ended) <= 2
            assert world.status()["active"] == sorted(world.jobs.keys() - {job["metadata"]["name"] for job in ended})


@virtual
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_each_run_begins_once(seed: int) -> None:
    await play(seed)
