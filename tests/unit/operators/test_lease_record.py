"""What a replica may believe and write; and that of several, whatever happens, at most one believes that it leads."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.operators._lease_record import Election

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

WALL = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def election(identity: str = "me") -> Election:
    return Election(identity, lease_duration=15, renew_deadline=10.0)


def lease(holder: str = "other", *, renewed: int = 0, **spec: Any) -> dict[str, Any]:
    times = {"renewTime": f"2026-11-23T12:00:{renewed:02}.000000Z", "leaseDurationSeconds": 15}
    return {"metadata": {"name": "op", "resourceVersion": "1"}, "spec": {"holderIdentity": holder, **times, **spec}}


def lead(me: Election, at: float = 0) -> dict[str, Any]:
    spec = me.proposal(at, WALL)
    assert spec is not None
    made = {"metadata": {"name": "op", "resourceVersion": "1"}, "spec": spec}
    me.wrote(made, sent=at, now=at)
    assert me.leads(at)
    return made


def test_a_lease_nobody_has_is_taken_at_once() -> None:
    me = election()
    me.observe(None, 100)
    assert me.proposal(100, WALL) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-23T12:00:00.000000Z",
        "renewTime": "2026-11-23T12:00:00.000000Z",
        "leaseTransitions": 0,
    }
    me.observe({"metadata": {}, "spec": {"holderIdentity": "", "leaseTransitions": 4}}, 100)
    spec = me.proposal(100, WALL)
    assert spec is not None
    assert spec["leaseTransitions"] == 5
    me.observe({"metadata": {}}, 100)
    assert me.proposal(100, WALL) is not None


def test_anothers_lease_is_taken_when_it_has_not_changed_for_as_long_as_it_says() -> None:
    me = election()
    me.observe(lease(leaseDurationSeconds=20, leaseTransitions=3), 100)
    assert me.free_at() == 120
    me.observe(lease(leaseDurationSeconds=20, leaseTransitions=3), 110)
    assert me.proposal(119.9, WALL) is None
    me.observe(lease(leaseDurationSeconds=20, leaseTransitions=3, renewed=5), 119.9)
    assert me.proposal(139.8, WALL) is None
    spec = me.proposal(139.9, WALL)
    assert spec is not None
    assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("me", 4, 15)


@pytest.mark.parametrize("written", [WALL - timedelta(days=400), WALL + timedelta(days=400)])
def test_what_the_clock_of_another_says_does_not_matter(written: datetime) -> None:
    me = election()
    me.observe(lease(renewTime=written.isoformat()), 100)
    assert me.proposal(114.9, WALL) is None
    assert me.proposal(115, WALL) is not None


def test_belief_counts_from_when_the_write_was_sent() -> None:
    me = election()
    made = lead(me, at=100)
    assert me.leads(109.99)
    assert not me.leads(110)
    me.wrote(made, sent=102, now=109)
    assert me.leads(111.9)
    assert not me.leads(112)


def test_an_answer_that_comes_too_late_makes_no_leader() -> None:
    me = election()
    me.wrote(lease("me"), sent=100, now=110)
    assert not me.leads(110)
    # The next one, in time, does.
    me.wrote(lease("me"), sent=110, now=111)
    assert me.leads(111)


def test_what_was_lost_is_not_won_back_by_a_renewal_that_was_under_way() -> None:
    me = election()
    made = lead(me, at=100)
    me.wrote(made, sent=109, now=110)
    assert not me.leads(110)


def test_anothers_name_ends_belief_at_once() -> None:
    me = election()
    lead(me, at=100)
    me.observe(lease("other"), 101)
    assert not me.leads(101)
    assert me.proposal(101, WALL) is None
    assert me.proposal(116, WALL) is not None


def test_a_renewal_keeps_what_others_wrote_and_when_it_was_acquired() -> None:
    me = election()
    me.observe(lease("", strategy="OldestEmulationVersion"), 100)
    made = lead(me, at=100)
    spec = me.proposal(102, WALL + timedelta(seconds=2))
    assert spec == {**made["spec"], "renewTime": "2026-11-23T12:00:02.000000Z"}
    assert spec["strategy"] == "OldestEmulationVersion"


@pytest.mark.parametrize("wall", [WALL, WALL - timedelta(hours=1)], ids=["stands still", "goes back"])
def test_each_renewal_changes_the_record_whatever_our_wall_clock_does(wall: datetime) -> None:
    me = election()
    made = lead(me, at=100)
    spec = me.proposal(102, wall)
    assert spec is not None
    assert spec["renewTime"] > made["spec"]["renewTime"]


def test_a_lease_deleted_under_its_holder_is_not_taken_before_it_would_have_run_out() -> None:
    me = election()
    me.observe(lease("other", leaseTransitions=7), 100)
    me.observe(None, 105)
    assert me.proposal(114, WALL) is None
    spec = me.proposal(115, WALL)
    assert spec is not None
    assert spec["leaseTransitions"] == 8


def test_a_leader_whose_lease_is_deleted_writes_it_anew() -> None:
    me = election()
    made = lead(me, at=100)
    me.observe(None, 102)
    assert me.leads(102)
    spec = me.proposal(102, WALL)
    assert spec is not None
    assert spec["acquireTime"] == made["spec"]["acquireTime"]


def test_a_released_lease_names_nobody_and_only_ours_is_released() -> None:
    me = election()
    assert me.release(WALL) is None
    made = lead(me, at=100)
    spec = me.release(WALL)
    assert spec is not None
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("", 1)
    me.observe(lease("other"), 101)
    assert me.release(WALL) is None
    other = election("other one")
    other.observe({**made, "spec": spec}, 101)
    taken = other.proposal(101, WALL)
    assert taken is not None
    assert taken["leaseTransitions"] == 1


@pytest.mark.parametrize("renew", [None, "", "yesterday", 7, "2026-11-23T12:00:00"])
def test_a_record_that_says_nonsense_is_renewed_all_the_same(renew: object) -> None:
    me = election()
    me.observe(lease("me", renewTime=renew, leaseTransitions=None, acquireTime=None), 100)
    spec = me.proposal(100, WALL)
    assert spec is not None
    assert spec["renewTime"].startswith("2026-11-23T12:00:00.00000")
    assert spec["leaseTransitions"] == 0


# Several replicas, each with a clock of its own, in front of one server: an event simulation in true time.


@dataclass
class Server:
    """Stores one Lease, as the API server does: a write in another version than the present one fails, and one that
    changes nothing is not stored."""

    spec: dict[str, Any] | None = None
    version: int = 0

    def read(self) -> dict[str, Any] | None:
        if self.spec is None:
            return None
        return {"metadata": {"name": "op", "resourceVersion": str(self.version)}, "spec": dict(self.spec)}

    def write(self, known: dict[str, Any] | None, spec: dict[str, Any]) -> dict[str, Any] | None:
        expected = None if known is None else known["metadata"]["resourceVersion"]
        present = None if self.spec is None else str(self.version)
        if expected != present:
            return None
        if spec != self.spec:
            self.spec, self.version = dict(spec), self.version + 1
        return self.read()


@dataclass
class Fate:
    """What happens to one request: how long each way takes, and whether it or its answer is lost."""

    there: float
    back: float
    lost: str


@dataclass
class Life:
    """What one replica goes through."""

    rate: float
    offset: float
    wall_stands_still: bool
    start: float
    retry: float
    fates: list[Fate]
    freezes: list[tuple[float, float]]
    """At what true time, for how long the process does not run. Its clock does."""
    cuts: list[tuple[float, float]]
    """At what true time, for how long nothing it sends reaches the server."""
    exits_after: float
    """Seconds of leading after which it gives the lease back."""
    number: int = 0
    fate: itertools.cycle[Fate] = field(init=False)

    def __post_init__(self) -> None:
        self.fate = itertools.cycle(self.fates)

    def clock(self, true: float) -> float:
        return self.offset + self.rate * true

    def wakes(self, true: float) -> float:
        """When what is due at a time is done by a process that may be frozen then."""
        for at, length in self.freezes:
            if at <= true < at + length:
                true = at + length
        return true


class Simulation:
    def __init__(self, lives: list[Life]) -> None:
        self.server = Server()
        self.lives = lives
        self.elections = [Election(f"r{i}", lease_duration=15, renew_deadline=10.0) for i in range(len(lives))]
        self.now = 0.0
        self.terms: list[tuple[float, str]] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, true: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (true, next(self._order), do))

    def run(self, until: float) -> None:
        for number, life in enumerate(self.lives):
            replica = self.replica(life, self.elections[number])
            self.at(life.start, lambda life=life, replica=replica: self.step(life, replica, None))  # type: ignore[misc]
        while self._due and self._due[0][0] <= until:
            self.now, _, do = heapq.heappop(self._due)
            do()

    def step(self, life: Life, replica: Generator[Any, Any, None], answer: Any) -> None:
        request = replica.send(answer)
        if isinstance(request, float):
            self.at(life.wakes(self.now + request / life.rate), lambda: self.step(life, replica, None))
            return
        fate = next(life.fate)
        # Five seconds of its own clock it waits for an answer, as the real one does.
        gives_up = life.wakes(self.now + 5 / life.rate)
        arrives = self.now + fate.there
        answered = life.wakes(arrives + fate.back)
        outcome: list[Any] = ["no answer"]

        def arrive() -> None:
            outcome[0] = request()

        lost = "request" if any(at <= self.now < at + length for at, length in life.cuts) else fate.lost
        if lost != "request":
            self.at(arrives, arrive)  # A request given up may still arrive, and be done.
        if lost == "nothing" and answered < gives_up:
            self.at(answered, lambda: self.step(life, replica, outcome[0]))
        else:
            self.at(gives_up, lambda: self.step(life, replica, "no answer"))

    def replica(self, life: Life, me: Election) -> Generator[Any, Any, None]:
        """The order of things in `LeaderElector`, without tasks."""
        leads_since = math.inf
        while True:
            now = life.clock(self.now)
            outcome: Any = None
            wall = WALL if life.wall_stands_still else WALL + timedelta(seconds=now)
            if me.leads(now) and now - leads_since > life.exits_after:
                me.step_down()
                lease = yield self.server.read
                if lease != "no answer":
                    me.observe(lease, life.clock(self.now))
                    spec = me.release(wall)
                    if spec is not None:
                        yield lambda known=me.lease, spec=spec: self.server.write(known, spec) or "conflict"
                leads_since = math.inf
                yield 60.0
                continue
            if me.leads(now) and me.lease is not None:
                outcome = yield from self.write(life, me, wall)
            if outcome in {None, "conflict"}:
                lease = yield self.server.read
                if lease != "no answer":
                    me.observe(lease, life.clock(self.now))
                    yield from self.write(life, me, wall)
            now = life.clock(self.now)
            if me.leads(now):
                leads_since = min(leads_since, now)
            else:
                leads_since = math.inf
                me.step_down()
            yield life.retry

    def write(self, life: Life, me: Election, wall: datetime) -> Generator[Any, Any, str]:
        sent = life.clock(self.now)
        spec = me.proposal(sent, wall)
        if spec is None:
            return "held"
        stored = yield lambda known=me.lease, spec=spec: self.server.write(known, spec) or "conflict"
        if isinstance(stored, str):
            return stored
        now = life.clock(self.now)
        led = me.leads(now)
        me.wrote(stored, sent=sent, now=now)
        if me.leads(now) and not led:
            self.terms.append((self.now, me.identity))
        # Belief begins only here, and ends by itself: this is when two could come to lead.
        believers = [
            e.identity for e, life in zip(self.elections, self.lives, strict=True) if e.leads(life.clock(self.now))
        ]
        assert len(believers) <= 1, f"at {self.now:.2f} these believe that they lead: {believers}"
        return "written"


fates = st.builds(
    Fate,
    there=st.sampled_from([0.01, 0.01, 0.5, 3.0, 6.0, 14.0, 30.0]),
    back=st.sampled_from([0.01, 0.01, 0.5, 3.0, 4.9]),
    lost=st.sampled_from(["nothing", "nothing", "nothing", "nothing", "request", "answer"]),
)
lives = st.builds(
    Life,
    # 1.15 to 0.85 is well within 15 to 10.
    rate=st.sampled_from([0.85, 1.0, 1.0, 1.15]),
    offset=st.sampled_from([0.0, 1e6, -1e6]),
    wall_stands_still=st.booleans(),
    start=st.floats(0, 30),
    retry=st.sampled_from([2.0, 2.5, 4.3]),
    fates=st.lists(fates, min_size=1, max_size=12),
    freezes=st.lists(st.tuples(st.floats(0, 150), st.floats(1, 60)), max_size=3).map(sorted),
    cuts=st.lists(st.tuples(st.floats(0, 150), st.floats(5, 60)), max_size=3),
    exits_after=st.sampled_from([5.0, 30.0, math.inf]),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(lives, min_size=2, max_size=3))
def test_at_most_one_replica_believes_that_it_leads(lives: list[Life]) -> None:
    Simulation(lives).run(until=200)


def healthy(**changes: Any) -> Life:
    defaults = {"rate": 1.0, "offset": 0.0, "wall_stands_still": False, "start": 0.0, "retry": 2.0}
    fate = Fate(0.01, 0.01, "nothing")
    return Life(**{**defaults, "fates": [fate], "freezes": [], "cuts": [], "exits_after": math.inf, **changes})


def test_the_simulation_lets_one_lead_for_good_when_nothing_happens() -> None:
    simulation = Simulation([healthy(), healthy(start=1.0)])
    simulation.run(until=500)
    assert [who for _, who in simulation.terms] == ["r0"]


@pytest.mark.parametrize("still", [True, False])
def test_the_lease_changes_hands_when_its_holder_freezes_and_not_because_its_wall_clock_does(still: bool) -> None:
    frozen = healthy(wall_stands_still=still, freezes=[(60.0, 40.0)])
    simulation = Simulation([frozen, healthy(start=1.0, wall_stands_still=still)])
    simulation.run(until=200)
    (_, first), (when, second) = simulation.terms
    assert (first, second) == ("r0", "r1")
    # A lease after the other saw the last renewal.
    assert 73 <= when <= 60 + 15 + 2 * 2
