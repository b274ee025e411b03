"""DeltaFIFO against a model: per key in order, nothing lost, nothing invented, synced at the right moment."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kinformer.cache.delta_fifo import Delta, DeltaFIFO, DeltaType, VersionMark
from kinformer.cache.indexer import Indexer
from kinformer.objects import KubeObject, ObjectKey
from tests.sources import pod

WATCHED = [DeltaType.ADDED, DeltaType.UPDATED, DeltaType.DELETED]
names = st.sampled_from(["a", "b", "c", "d"])


class FifoMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache = Indexer()
        self.fifo = DeltaFIFO(self.cache)
        self.version = 0
        self.queue: dict[str, list[Delta]] = {}
        """What must be queued: keys in their order, with their deltas."""
        self.cached: dict[str, KubeObject] = {}
        self.populated = False
        self.initial: list[str] | None = None
        """Keys of the first replace that have not been popped; `None` before anything came."""
        self.marks: list[tuple[int, int, int]] = []
        """Version marks that have not been reached: version, lists, and how many keys must be popped before."""
        self.lists = 0
        self.popped = 0

    def new(self, name: str) -> KubeObject:
        self.version += 1
        return pod(name, self.version)

    def put(self, name: str, delta: Delta) -> None:
        deltas = self.queue.setdefault(name, [])
        if deltas and deltas[-1].type is delta.type is DeltaType.DELETED:
            if delta.final_state_known or not deltas[-1].final_state_known:
                deltas[-1] = delta
        else:
            deltas.append(delta)

    def came(self) -> None:
        if not self.populated:
            self.populated = True
            self.initial = []

    def last(self, name: str) -> KubeObject | None:
        if name in self.queue:
            last = self.queue[name][-1]
            return None if last.type is DeltaType.DELETED else last.object
        return self.cached.get(name)

    @rule(name=names)
    def add(self, name: str) -> None:
        obj = self.new(name)
        self.fifo.add(obj)
        self.came()
        self.put(name, Delta(DeltaType.ADDED, obj))

    @rule(name=names)
    def update(self, name: str) -> None:
        obj = self.new(name)
        self.fifo.update(obj)
        self.came()
        self.put(name, Delta(DeltaType.UPDATED, obj))

    @rule(name=names)
    def delete(self, name: str) -> None:
        obj = self.new(name)
        self.fifo.delete(obj)
        self.came()
        if name in self.queue or name in self.cached:
            self.put(name, Delta(DeltaType.DELETED, obj))

    @rule(changes=st.lists(st.tuples(names, st.sampled_from(WATCHED)), max_size=6))
    def extend(self, changes: list[tuple[str, DeltaType]]) -> None:
        events = [Delta(kind, self.new(name)) for name, kind in changes]
        self.fifo.extend(events)
        self.came()
        for event in events:
            name = event.object.name
            if event.type is not DeltaType.DELETED or name in self.queue or name in self.cached:
                self.put(name, event)

    @rule(name=names)
    def leave_out(self, name: str) -> None:
        self.fifo.leave_out(ObjectKey("default", name))
        last = self.last(name)
        if last is not None:
            self.came()
            self.put(name, Delta(DeltaType.DELETED, last, final_state_known=False))

    @rule(listed=st.lists(names, unique=True), slice_size=st.integers(1, 3))
    def replace(self, listed: list[str], slice_size: int) -> None:
        objects = [self.new(name) for name in listed]
        for _ in self.fifo.replacing({obj.key: obj for obj in objects}, slice_size=slice_size):
            assert self.populated or not self.fifo.has_synced
        first = not self.populated
        self.populated = True
        lost = [name for name in [*self.queue, *(n for n in self.cached if n not in self.queue)] if name not in listed]
        for name in lost:
            last = self.last(name)
            if last is not None:
                self.put(name, Delta(DeltaType.DELETED, last, final_state_known=False))
        for name, obj in zip(listed, objects, strict=True):
            self.put(name, Delta(DeltaType.REPLACED, obj))
        if first:
            self.initial = [*self.queue]
        self.lists += 1

    @rule()
    def mark(self) -> None:
        self.fifo.mark(str(self.version), self.lists)
        self.marks.append((self.version, self.lists, self.popped + len(self.queue)))

    @rule()
    def take_mark(self) -> None:
        """A version counts as reached when all that was queued before it has been popped, and not earlier."""
        reached = [mark for mark in self.marks if mark[2] <= self.popped]
        self.marks = self.marks[len(reached) :]
        expected = VersionMark(str(reached[-1][0]), reached[-1][1]) if reached else None
        assert self.fifo.take_mark() == expected

    @rule()
    def resync(self) -> None:
        self.fifo.resync()
        for name, obj in self.cached.items():
            if name not in self.queue:
                self.put(name, Delta(DeltaType.SYNC, obj))

    @precondition(lambda self: self.queue)
    @rule()
    def pop(self) -> None:
        name = next(iter(self.queue))
        deltas = self.queue.pop(name)
        self.popped += 1
        was_synced = self.fifo.has_synced
        popped = self.fifo.pop_nowait()
        assert popped is not None
        assert popped.key.name == name
        assert popped.deltas == deltas
        assert popped.initial is not was_synced
        if self.initial and name in self.initial:
            self.initial.remove(name)
        for delta in deltas:
            if delta.type is DeltaType.DELETED:
                # Nobody is told of the end of something he was never told of.
                self.cached.pop(name, None)
                self.cache.delete(popped.key)
            else:
                self.cached[name] = delta.object
                self.cache.put(popped.key, delta.object)

    @precondition(lambda self: not self.queue)
    @rule()
    def pop_nothing(self) -> None:
        assert self.fifo.pop_nowait() is None

    @invariant()
    def as_in_the_model(self) -> None:
        assert [key.name for key in self.fifo.list_keys()] == [*self.queue]
        for name, deltas in self.queue.items():
            assert self.fifo.get_by_key(ObjectKey("default", name)) == deltas
        assert len(self.fifo) == len(self.queue)
        assert self.fifo.has_synced == (self.populated and not self.initial)

    @invariant()
    def deletions_come_alone_or_before_what_follows_them(self) -> None:
        for deltas in self.queue.values():
            for before, after in itertools.pairwise(deltas):
                assert not before.type is after.type is DeltaType.DELETED


TestDeltaFIFO = FifoMachine.TestCase
TestDeltaFIFO.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, database=None)
