"""A simulated shard group: members of `kinformer.operators._shard_protocol`, an API server, and faults on virtual time.

Discrete events. A request may be slow, fail before or after it was applied, or be applied long after its sender gave
up. A watch may lag, reorder or hang. Members crash, restart, freeze (SIGSTOP), are cut off, join and leave; Leases and
the table are deleted; clocks run at rates from 0.85 to 1.15.

`TwoOwnersError` is raised when two members work on a slice at once. A deletion counts as seen if a member that works on
its slice was informed of it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kinformer.operators._shard_protocol import ShardMember, ShardTimes, SliceCache
from kinformer.operators._shard_records import (
    UNREADABLE_MEMBER,
    UNREADABLE_TABLE,
    Answer,
    DeleteMember,
    Done,
    ListMembers,
    ReadMember,
    ReadTable,
    Refused,
    Request,
    Unanswered,
    WriteMember,
    WriteTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SLICES = 16
TIMES = ShardTimes(settle=3.0, handover=20.0, forget=100.0)
TIMEOUT = 4.0
"""Seconds after which a client gives a request up."""
CANCELLED = 1.0
"""Seconds that a reconcile goes on at most after its member lost its Lease."""
LAST_EFFECT = 65.0
"""Seconds after which no fault has an effect any more: the longest is 60."""
RATES = (0.85, 1.15)
"""Rates of the slowest and of the fastest clock."""
TABLE = ""
"""The key of the table among the objects; members have their names."""


class TwoOwnersError(AssertionError):
    """A promise was broken."""


class World:
    """The API server, the members, and the record of who worked on what."""

    def __init__(
        self, seed: int, *, unreliable: bool, rates: tuple[float, float] = RATES, cancelled: float = CANCELLED
    ) -> None:
        self.random = random.Random(seed)
        self.rates = rates
        self.cancelled = cancelled
        self.unreliable = unreliable
        self.now = 0.0
        self.objects: dict[str, tuple[int, Any]] = {}
        self.version = 100
        self.members: dict[str, Member] = {}
        self.down_until = self.slow_until = 0.0
        self.data_version = 1
        self.deletions: defaultdict[int, list[int]] = defaultdict(list)
        self.seen: set[tuple[int, int]] = set()
        self.idle_since = dict.fromkeys(range(SLICES), 0.0)
        self.gaps: list[float] = []
        self.moves = 0
        self.names = itertools.count()
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), call, arguments))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(self._events)
            call(*arguments)
        self.now = until

    def join(self) -> Member:
        member = Member(self, f"m{next(self.names)}")
        self.members[member.name] = member
        return member

    # ---- the API server

    def latency(self) -> float:
        if self.now < self.slow_until:
            return self.random.uniform(0.5, 9.0)
        return self.random.choice((0.003, 0.01, 0.05)) if self.random.random() < 0.97 else self.random.uniform(0.1, 2)

    def store(self, name: str, expected: int, value: Any) -> Answer:
        """Write if the object has the expected version; `None` deletes it."""
        if self.objects.get(name, (0, None))[0] != expected or (value is None and name not in self.objects):
            return Refused()
        self.version += 1
        if value is None:
            del self.objects[name]
        else:
            self.objects[name] = (self.version, value)
        for member in self.members.values():
            member.push(name, self.version, value)
        return Done(self.version)

    def execute(self, request: Request) -> Answer:
        match request:
            case ReadTable():
                return Done(*self.objects.get(TABLE, (0, None)))
            case ReadMember(name):
                return Done(*self.objects.get(name, (0, None)))
            case ListMembers():
                return Done(self.version, {name: stored for name, stored in self.objects.items() if name != TABLE})
            case WriteTable(version, table):
                before = self.objects.get(TABLE)
                answer = self.store(TABLE, version, table)
                if isinstance(answer, Done) and before is not None and before[1].owners:
                    pairs = zip(before[1].owners, table.owners, strict=True)
                    self.moves += sum(old != new for old, new in pairs)
                return answer
            case WriteMember(name, version, record):
                return self.store(name, version, record)
            case DeleteMember(name, version):
                return self.store(name, version, None)

    # ---- who works on what

    def gained(self, member: Member, slices: frozenset[int]) -> None:
        for other in self.members.values():
            for number in slices & other.works_on() if other is not member else ():
                msg = f"at {self.now:.3f} slice {number} is worked on by {member.name} and {other.name}"
                raise TwoOwnersError(msg)
        self.gaps.extend(self.now - self.idle_since[number] for number in slices)

    def lost(self, slices: frozenset[int]) -> None:
        for number in slices:
            self.idle_since[number] = self.now

    # ---- the data

    def delete_something(self) -> None:
        """An object without a finalizer is deleted."""
        self.data_version += 1
        self.deletions[self.random.randrange(SLICES)].append(self.data_version)

    def unseen(self) -> list[tuple[int, int]]:
        return [(number, at) for number, log in self.deletions.items() for at in log if (number, at) not in self.seen]


class Member:
    """A process: the protocol, its clock, its watches and its caches."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.rate, self.offset = world.random.uniform(*world.rates), world.random.uniform(0, 1e4)
        self.protocol = ShardMember(name, by="uid", slices=SLICES, times=TIMES)
        self.alive = True
        self.frozen_until = self.cut_until = self.hung_until = 0.0
        self._working: frozenset[int] = frozenset()
        self._at_work_before: frozenset[int] = frozenset()
        self._ending: dict[int, float] = {}
        self._caches: dict[int, list[int]] = {}
        self._being_stopped: set[int] = set()
        self._given: set[int] = set()
        self._looks_at = 0.0
        world.after(0.001, self._fire, self._pump)
        world.after(world.random.uniform(0, 1), self._fire, self._tick)

    def clock(self) -> float:
        return self.world.now * self.rate + self.offset

    @property
    def runs(self) -> bool:
        return self.alive and self.world.now >= self.frozen_until

    def later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        """A timer of this process, by its clock."""
        self.world.after(seconds / self.rate, self._fire, call, *arguments)

    def _fire(self, call: Callable[..., object], *arguments: object) -> None:
        if not self.alive:
            return
        if not self.runs:
            self.world.after(self.frozen_until - self.world.now, self._fire, call, *arguments)
            return
        call(*arguments)
        self._look()

    def _at_work(self) -> frozenset[int]:
        """Return the slices on which work may begin, or is to end, at this moment."""
        if not self.runs:
            return frozenset()
        now = self.clock()
        workable = self.protocol.workable(now)
        if not self.protocol.is_valid(now):
            return workable
        stopping = self.protocol.stopping()
        return workable | stopping if stopping else workable

    def works_on(self) -> frozenset[int]:
        """Return the slices on which work is under way or may begin at this moment."""
        return self._and_ending(self._at_work())

    def _and_ending(self, at_work: frozenset[int]) -> frozenset[int]:
        if not self._ending or not self.runs:
            return at_work
        now = self.world.now
        self._ending = {number: until for number, until in self._ending.items() if now < until}
        return at_work.union(self._ending)

    def _look(self) -> None:
        """Compare the work with that at the last look."""
        at_work = self._at_work()
        if at_work == self._at_work_before == self._working and not self._ending and not self._given:
            return
        for number in self._at_work_before - at_work - self._given:
            # The Lease was lost, and the reconciles are cancelled.
            self._ending[number] = self.world.now + self.world.random.choice((0.0, 0.02, 1.0)) * self.world.cancelled
        self._at_work_before = at_work
        self._given -= at_work
        working = self._and_ending(at_work)
        gained, lost = working - self._working, self._working - working
        self._working = working
        if gained:
            self.world.gained(self, gained)
        if lost:
            self.world.lost(lost)

    def end(self) -> None:
        """The process is killed, or has ended."""
        self.world.lost(self._working)
        self._working = frozenset()
        self.alive = False
        self.world.members.pop(self.name, None)

    def freeze(self, seconds: float) -> None:
        self.world.lost(self._working)
        self._working = self._at_work_before = frozenset()
        self._ending.clear()
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)

    # ---- requests and watches

    def _pump(self) -> None:
        protocol = self.protocol
        self._look()
        for request in protocol.requests(self.clock()):
            self._send(request)
        for number in protocol.stopping() - self._being_stopped:
            self._being_stopped.add(number)
            if number in protocol.owned():
                self.later(self.world.random.choice((0, 0, 0.02, 0.3, 1.5)), self._stopped, number)
            else:
                at = max(self._ending.get(number, 0.0), self.world.now)
                self.world.after(at - self.world.now, self._fire, self._stopped, number)
        self._cache_what_is_wanted()
        if protocol.gone:
            self.end()
        elif protocol.valid_until > max(self._looks_at, self.clock()):
            # As the tasks of a group: they wake when the Lease ends.
            self._looks_at = protocol.valid_until
            self.later(self._looks_at - self.clock() + 0.001, self._pump)

    def _send(self, request: Request) -> None:
        world = self.world
        settled = False

        def answer(what: Answer) -> None:
            nonlocal settled
            if not settled:
                settled = True
                self.protocol.answered(request, what, self.clock())
                self._pump()

        self.later(TIMEOUT, answer, Unanswered())
        if world.now < max(world.down_until, self.cut_until):
            return
        there, back = world.latency(), world.latency()
        if world.unreliable and world.random.random() < 0.01:
            # It is applied long after its sender gave up.
            there = world.random.uniform(1, 60)
        is_lost = world.unreliable and world.random.random() < 0.01

        def arrive() -> None:
            result = world.execute(request)
            if not is_lost and world.now >= self.cut_until:
                world.after(back, self._fire, answer, result)

        world.after(there, arrive)

    def push(self, name: str, version: int, value: Any) -> None:
        """The watch brings a change at some time, in any order."""
        world = self.world
        late = world.random.random() >= 0.98
        delay = world.random.uniform(0.5, 6) if late else world.random.choice((0.005, 0.02, 0.2))
        at = max(world.now, self.hung_until, self.cut_until) + delay
        world.after(at - world.now, self._fire, self._heard, name, version, value)

    def _heard(self, name: str, version: int, value: Any) -> None:
        if name == TABLE:
            self.protocol.saw_table(version, value, self.clock())
        else:
            self.protocol.saw_member(name, version, value, self.clock())
        self._pump()

    def _tick(self) -> None:
        self.later(self.world.random.uniform(0.5, 1.0), self._tick)
        self._pump()

    def leave(self) -> None:
        self.protocol.leave()
        self._pump()
        self._look()

    # ---- caches and work

    def _stopped(self, number: int) -> None:
        until = self._ending.get(number, 0.0)
        if self.world.now < until:
            # The Lease was lost meanwhile, and a cancelled reconcile has not ended yet.
            self.world.after(until - self.world.now, self._fire, self._stopped, number)
            return
        self._being_stopped.discard(number)
        if number in self.protocol.stopping():
            self._catch_up()
            self._given.add(number)
            self.protocol.stopped(number)
        self._pump()

    def _cache_what_is_wanted(self) -> None:
        wanted = self.protocol.wanted()
        for number in [number for number in self._caches if number not in wanted]:
            del self._caches[number]
        for number in wanted:
            if number not in self._caches:
                self._caches[number] = cache = [0, 0, 0]
                self.later(self.world.random.uniform(0.05, 1.5), self._listed, number, cache)
        self._catch_up()

    def _listed(self, number: int, cache: list[int]) -> None:
        world = self.world
        if self._caches.get(number) is not cache:
            return
        if world.now < max(self.cut_until, world.down_until):
            self.later(1.0, self._listed, number, cache)
            return
        cache[:2] = [world.data_version, world.data_version]
        self.protocol.cached(number, SliceCache(*cache[:2]))
        self._pump()

    def _catch_up(self) -> None:
        """The watch has come to the state of a moment ago, unless it hangs."""
        world = self.world
        if world.now < max(self.hung_until, self.cut_until, world.down_until):
            return
        behind = world.random.randrange(3) if world.random.random() < 0.3 else 0
        told = world.data_version - behind
        working = self.works_on()
        for number, cache in self._caches.items():
            if not cache[0] and not cache[1]:
                continue
            if told > cache[1]:
                cache[1] = told
                self.protocol.cached(number, SliceCache(cache[0], told))
            if number in working:
                log = world.deletions[number]
                while cache[2] < len(log) and log[cache[2]] <= cache[1]:
                    if log[cache[2]] > cache[0]:
                        world.seen.add((number, log[cache[2]]))
                    cache[2] += 1


PLANNED = ("join", "leave")
CRASHES = ("crash",)
ALL = (
    *("crash", "restart", "freeze", "cut", "hang", "slow", "down", "join", "leave", "join", "leave"),
    *("delete a lease", "delete the table"),
)
EDITS = ("edit a lease", "join", "leave")
ALL_AND_EDITS = (*ALL, "edit a lease", "edit a lease", "edit the table")
"""An edited Lease has no record any more: its checksum is wrong, whichever field was changed."""


def schedule(
    seed: int,
    kinds: tuple[str, ...] = ALL,
    *,
    troubled: float = 130.0,
    calm: float = 130.0,
    rates: tuple[float, float] = RATES,
    cancelled: float = CANCELLED,
) -> World:
    """Run a group under random faults of the given kinds for `troubled` seconds, and then for `calm` seconds without.

    Args:
        seed: decides everything.
        kinds: the faults.
        troubled: seconds with faults.
        calm: seconds without faults after them; at most, under all faults, if the group comes to rest before.
        rates: the rates of the slowest and of the fastest clock.
        cancelled: seconds that a reconcile goes on at most after its member lost its Lease.

    Raises:
        TwoOwnersError: two members worked on a slice at once.
    """
    unreliable = "crash" in kinds and kinds is not CRASHES
    world = World(seed, unreliable=unreliable, rates=rates, cancelled=cancelled)
    chance = world.random
    for _ in range(chance.randrange(2, 7)):
        world.join()

    def delete() -> None:
        if chance.random() < 0.5:
            world.delete_something()
        else:
            world.data_version += 1
        if world.now < troubled + calm - 30:
            world.after(chance.expovariate(4.0), delete)

    def trouble() -> None:
        world.after(chance.expovariate(1 / 12), trouble)
        if world.now < troubled:
            strike(world, chance.choice(kinds))

    def make_reliable() -> None:
        world.unreliable = False

    world.after(8, delete)
    world.after(10, trouble)
    world.after(troubled, make_reliable)
    end = troubled + calm
    if unreliable:
        world.run(troubled + LAST_EFFECT)
        # A group that has been at rest for 9 s, with nothing under way but renewals, stays so.
        rests = 0
        while rests < 3 and world.now < end:
            world.run(min(world.now + 3, end))
            rests = 0 if wrong_at_the_end(world) else rests + 1
    else:
        world.run(end)
    return world


def edited_at_rest(seed: int, kinds: tuple[str, ...]) -> World:
    """Run a group that is at rest, in which faults happen to one member, shortly after one another."""
    world = World(seed, unreliable=False)
    for _ in range(world.random.randrange(2, 7)):
        world.join()
    world.run(40)
    world.gaps.clear()
    member = world.random.choice([*world.members.values()])
    for kind in kinds:
        strike(world, kind, member)
        world.run(world.now + world.random.choice((0, 0.01, 1, 5)))
    world.run(world.now + 60)
    return world


def strike(world: World, kind: str, member: Member | None = None) -> None:
    """Let a fault happen, to a member or to any."""
    chance = world.random
    if member is None and world.members:
        member = chance.choice([*world.members.values()])
    if member is None or kind == "join":
        if len(world.members) < 9:
            world.join()
    elif kind in {"crash", "restart"} and len(world.members) > 1:
        member.end()
        if kind == "restart":
            world.after(chance.uniform(0.1, 25), world.join)
    elif kind == "freeze":
        member.freeze(chance.uniform(1, 60))
    elif kind == "cut":
        member.cut_until = world.now + chance.uniform(1, 50)
    elif kind == "hang":
        member.hung_until = world.now + chance.uniform(1, 60)
    elif kind == "slow":
        world.slow_until = world.now + chance.uniform(5, 40)
    elif kind == "down":
        world.down_until = world.now + chance.uniform(1, 30)
    elif kind == "leave" and sum(not one.protocol.leaving for one in world.members.values()) > 1:
        if not member.protocol.leaving and member.runs:
            member.leave()
            # terminationGracePeriodSeconds
            world.after(30, lambda: member.end() if member.alive else None)
    elif kind == "delete a lease" and member.name in world.objects:
        world.store(member.name, world.objects[member.name][0], None)
    elif kind == "delete the table" and TABLE in world.objects:
        world.store(TABLE, world.objects[TABLE][0], None)
    elif kind == "edit a lease" and member.name in world.objects:
        world.store(member.name, world.objects[member.name][0], UNREADABLE_MEMBER)
    elif kind == "edit the table" and TABLE in world.objects:
        world.store(TABLE, world.objects[TABLE][0], UNREADABLE_TABLE)


def wrong_at_the_end(world: World) -> str:
    """Return the reason why the group is not at rest, or ""."""
    living = [member for member in world.members.values() if not member.protocol.leaving]
    shares = [len(member.works_on()) for member in living]
    if living and (sum(shares) != SLICES or max(shares) - min(shares) > 1):
        return f"shares {shares}"
    return ""
