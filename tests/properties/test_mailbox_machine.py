"""The mailboxes against a model: every event in order, or per object the oldest old and the newest new."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer._mailbox import LatestMailbox, QueueMailbox, SyncMark
from kinformer.objects import KubeObject, ObjectKey
from tests.sources import pod

names = st.sampled_from(["a", "b", "c"])


class MailboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.every = QueueMailbox()
        self.latest = LatestMailbox()
        self.sent: list[Event | SyncMark] = []
        self.truth: dict[ObjectKey, KubeObject] = {}
        self.told: dict[ObjectKey, KubeObject] = {}
        self.version = 0
        self.marks_put = self.marks_taken = 0
        self.before_mark: dict[ObjectKey, str] = {}

    def put(self, event: Event) -> None:
        self.every.put([event])
        self.latest.put([event])
        self.sent.append(event)

    @initialize(listed=st.sets(names))
    def come_late(self, listed: set[str]) -> None:
        objects = {}
        for name in sorted(listed):
            self.version += 1
            obj = pod(name, self.version)
            objects[obj.key] = obj
            self.sent.append(Added(obj, initial=True))
        self.truth |= objects
        self.every.put_initial(dict(objects))
        self.latest.put_initial(dict(objects))

    @rule(name=names, initial=st.booleans())
    def change(self, name: str, initial: bool) -> None:
        self.version += 1
        obj = pod(name, self.version)
        old = self.truth.get(obj.key)
        self.truth[obj.key] = obj
        self.put(Added(obj, initial) if old is None else Updated(old, obj))

    @rule(name=names, known=st.booleans())
    def delete(self, name: str, known: bool) -> None:
        old = self.truth.pop(ObjectKey("default", name), None)
        if old is not None:
            self.put(Deleted(old, known))

    @rule()
    def mark(self) -> None:
        if self.marks_put > self.marks_taken:
            return
        self.marks_put += 1
        self.every.put_mark()
        self.latest.put_mark()
        self.sent.append(SyncMark())
        self.before_mark = {key: obj.resource_version for key, obj in self.truth.items()}

    @rule()
    def take_of_every(self) -> None:
        taken = self.every.take()
        if not self.sent:
            assert taken is None
            return
        wanted = self.sent.pop(0)
        assert taken == wanted or isinstance(taken, SyncMark) is isinstance(wanted, SyncMark) is True

    @rule()
    def take_of_latest(self) -> None:
        match self.latest.take():
            case Added(obj):
                assert obj.key not in self.told
                self.told[obj.key] = obj
            case Updated(old, new):
                assert self.told[old.key] == old
                self.told[new.key] = new
            case Deleted(obj):
                del self.told[obj.key]
            case SyncMark():
                self.marks_taken += 1
                # What was there when the mark was put has been told, in that state or a newer one.
                for key, version in self.before_mark.items():
                    if key in self.truth and self.truth[key].resource_version == version:
                        assert self.told[key].resource_version == version
            case None:
                assert self.told == self.truth

    @invariant()
    def latest_is_bounded_by_the_objects(self) -> None:
        # Deleted and Added of another object of the same name, and the update of what was told: never more than that.
        assert len(self.latest) <= 2 * 3

    @invariant()
    def every_has_what_was_sent(self) -> None:
        assert len(self.every) == len(self.sent)


TestMailbox = MailboxMachine.TestCase
TestMailbox.settings = settings(max_examples=200, stateful_step_count=50, deadline=None, database=None)
