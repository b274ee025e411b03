"""Does the suite notice? Deliberate bugs, each seeded into a copy of the tree, and the tests that must fail for it.

    make mutants            all of them: about three hours at low priority, beside other work
    python -m tests.mutants NAME ...

A mutant that survives is a rule that nothing pins. Exits with 1 if one does.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.mirror import places_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = ("tests/unit", "tests/properties", "tests/scenarios")


@dataclass(frozen=True)
class Mutant:
    """One bug: a piece of a function or method, and the code that replaces it.

    Attributes:
        name: the rule that it breaks.
        at: the place, `file::Class.method` or `file::function`, below `kinformer/`.
        right: the piece, as Python source: an expression, statements, or the header of a compound statement ("if x:"),
            whose body stays. It is compared by its syntax, so layout, comments and quotes do not matter.
        wrong: its replacement, of the same form; "" removes statements.
    """

    name: str
    at: str
    right: str
    wrong: str

    @property
    def file(self) -> str:
        return self.at.partition("::")[0]


MUTANTS = (
    Mutant(
        "a cached client shows a state before the last own write",
        "client/_cached/own_writes.py::is_shown",
        "progress >= record.version or version >= record.version",
        "True",
    ),
    Mutant(
        "an older object of the same name counts as the successor of a deleted one",
        "client/_cached/own_writes.py::is_shown",
        "bool(record.uid) and cached[0] != record.uid and version > record.version > 0",
        "cached[0] != record.uid",
    ),
    Mutant(
        "a scope contains the questions about every namespace",
        "client/_cached/containment.py::contains",
        "not scope.namespace or fields.equal[NAMESPACE] == {scope.namespace}",
        "True",
    ),
    Mutant(
        "an apply is saved although the object has changed since",
        "client/_cached/apply_records.py::ApplyRecords.unchanged",
        "record.version == cached.resource_version",
        "True",
    ),
    Mutant(
        "what left a scope comes back by older news",
        "cache/membership.py::Membership._raise_floor",
        "if any(part.version < version for part in self._parts_near(key)):",
        "if False:",
    ),
    Mutant(
        "a departure that a list has shown is as exact as one of an event",
        "cache/membership.py::Membership.lost",
        "Departure(key, version, None, now, by_list=True)",
        "Departure(key, version, None, now)",
    ),
    Mutant(
        "a part does not list anew that has what a list of another part lacked",
        "cache/membership.py::Membership._may_be_missed",
        "self._overtaken.add(part)",
        "pass",
    ),
    Mutant(
        "a floor is forgotten before all parts have passed it",
        "cache/membership.py::Membership._forget_floors",
        "0 if self._unlisted else self._lowest.version",
        "self.newest",
    ),
    Mutant(
        "news that a part read before it was let go counts",
        "cache/membership.py::Membership.close",
        "part.closed = True",
        "pass",
    ),
    Mutant(
        "an object leaves the union with the first part that loses it",
        "cache/membership.py::Membership._is_member",
        "any(self._holds(part, key) for part in self._parts_near(key))",
        "False",
    ),
    Mutant(
        "merged ranges have no floors",
        "cache/membership.py::Membership.merge",
        "tuple((ranges, floor) for ranges, floor in floors if floor > part.version and ranges)",
        "()",
    ),
    Mutant(
        "a merged part goes on from the newest version of the others",
        "cache/membership.py::Membership.merge",
        "min(other.version for other in others)",
        "max(other.version for other in others)",
    ),
    Mutant(
        "what was read with the old ranges counts after a merge",
        "cache/membership.py::Membership.merge",
        "self.close(other)",
        "pass",
    ),
    Mutant(
        "a merged part lists a state older than one of the others had seen",
        "reflector/_state_machine.py::ReflectorMachine.resume",
        "self.not_older_than = not_older_than",
        "pass",
    ),
    Mutant(
        "a new range is listed at a version older than a floor",
        "cache/membership.py::Membership.close",
        "self._closed_at = max(self._closed_at, highest)",
        "",
    ),
    Mutant(
        "objects of ranges that left stay in the cache",
        "informer/_scope_part.py::shed_ranges",
        "covered - ranges_over(shard)",
        "covered - covered",
    ),
    Mutant(
        "an object that moves from one part to another is told to be gone",
        "cache/membership.py::Membership._departs",
        """
        if any((come_to if other is part else other.version) < departure.version for other in near):
            self._held[key] = departure
            return False
        """,
        "",
    ),
    Mutant(
        "an object that left with its part may still be in one that is behind",
        "cache/membership.py::Membership._leaves",
        "self._is_awaited(key, version)",
        "False",
    ),
    Mutant(
        "a part that is behind does not have more time when it receives something",
        "cache/membership.py::Membership.came_to",
        "self._wait_longer(part, version, now)",
        "pass",
    ),
    Mutant(
        "a part that was behind a closed one brings older states",
        "cache/membership.py::Membership.close",
        "other.behind = max(other.behind, highest)",
        "pass",
    ),
    Mutant(
        "a deletion that is older than the known state never counts",
        "cache/membership.py::Membership.deleted",
        "self._held[key] = Departure(key, version_number(known.resource_version), None, now)",
        "part.keys.add(key)",
    ),
    Mutant(
        "an object in two parts is told twice",
        "cache/membership.py::Membership.listed",
        "known is None or version_number(obj.resource_version) > version_number(known.resource_version)",
        "True",
    ),
    Mutant(
        "the first list of a new part may be older than the others",
        "informer/_scope_reflector.py::ScopeReflector._begin",
        "if newest:",
        "if False:",
    ),
    Mutant(
        "the old parts of a scope go before the new ones have listed",
        "informer/_scope_reflector.py::ScopeReflector._is_unsettled",
        "bool(self._missing or self._unsettled)",
        "False",
    ),
    Mutant(
        "a part takes its events from a shared watch that lacks some of them",
        "informer/_shared_watch.py::Subscription.has_since",
        "self.floor is not None and self.floor <= version and self._shared.may_serve",
        "self.floor is not None and self._shared.may_serve",
    ),
    Mutant(
        "a shared watch claims to have kept what came before it began",
        "informer/_shared_watch.py::SharedWatch._begin",
        "subscription.begin(start)",
        "subscription.begin(0)",
    ),
    Mutant(
        "one watch of all namespaces takes the place of any number",
        "informer/_widening.py::Widening.plan",
        "key not in self._watches and len(found) < max(limits[part.scope] for part in found)",
        "False",
    ),
    Mutant(
        "what leaves a scope is told as a deletion",
        "cache/_process_deltas.py::_apply",
        "Deleted(known, final_state_known=False, out_of_scope=True)",
        "Deleted(known, final_state_known=False)",
    ),
    Mutant(
        "a relist forgets deletions",
        "cache/delta_fifo.py::DeltaFIFO.replacing",
        "known += self._known.list_keys()",
        "pass",
    ),
    Mutant(
        "a relist forgets deletions of what is still queued",
        "cache/delta_fifo.py::DeltaFIFO.replacing",
        "self.list_keys()",
        "[]",
    ),
    Mutant(
        "deletions found by a list claim to know the final state",
        "cache/delta_fifo.py::DeltaFIFO._append_lost",
        "Delta(DeltaType.DELETED, last, final_state_known=False)",
        "Delta(DeltaType.DELETED, last)",
    ),
    Mutant(
        "a sliced list counts as synced after its first slice",
        "cache/delta_fifo.py::DeltaFIFO.replacing",
        "self._initial_left = 1",
        "self._initial_left = 0",
    ),
    Mutant(
        "an object that cannot be used stays in the cache as it was",
        "reflector/_ingest.py::Intake.queue_events",
        "fifo.leave_out(ObjectKey.parse(failure.key))",
        "pass",
    ),
    Mutant(
        "a streaming list is swapped in at any bookmark",
        "client/_decoding/watches.py::WatchDecoder._take_bookmark",
        "metadata.annotations.get('k8s.io/initial-events-end') == 'true'",
        "True",
    ),
    Mutant(
        "a streaming list is swapped in before its end",
        "reflector/_reflector.py::Reflector._initial_events",
        "batch.initial_events_end",
        "batch.initial_events_end or len(kept) > 1",
    ),
    Mutant(
        "deletions within a streaming list are ignored",
        "reflector/_ingest.py::Intake.keep_events",
        "kept.pop(obj.key, None)",
        "",
    ),
    Mutant(
        "bookmarks are no progress of the version",
        "reflector/_reflector.py::Reflector._take_batch",
        "events or batch.resource_version",
        "events",
    ),
    Mutant(
        "the version goes back with the stream",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "resource_version <= known",
        "resource_version == known",
    ),
    Mutant(
        "a list that is older than what was seen is taken",
        "reflector/_state_machine.py::ReflectorMachine.refuses",
        "version_number(resource_version) < version_number(self._least_list_version())",
        "False",
    ),
    Mutant(
        "an expired version is watched again for ever",
        "reflector/_state_machine.py::ReflectorMachine._failed",
        "self._list_reason = 'expired'",
        "",
    ),
    Mutant(
        "a relist starts from version 0",
        "reflector/_state_machine.py::ReflectorMachine.next_step",
        "'' if self._quorum else self._least_list_version()",
        "''",
    ),
    Mutant(
        "watches that close at once are not slowed down",
        "reflector/_state_machine.py::ReflectorMachine._ended",
        "self._short_watches <= 1",
        "self._short_watches <= 1000",
    ),
    Mutant(
        "a stream that always has something ready holds the loop",
        "reflector/_reflector.py::Reflector._follow",
        "await time_slice.begin()",
        "",
    ),
    Mutant(
        "success does not reset the backoff",
        "reflector/_state_machine.py::ReflectorMachine._end_watch_failures",
        "self._watch_failures = 0",
        "",
    ),
    Mutant(
        "Retry-After is ignored",
        "reflector/_state_machine.py::ReflectorMachine._pause",
        "max(seconds, min(error.retry_after, MAX_RETRY_AFTER))",
        "seconds",
    ),
    Mutant(
        "a server that asks for patience for ever is obeyed for ever",
        "reflector/_state_machine.py::ReflectorMachine._pause",
        "min(error.retry_after, MAX_RETRY_AFTER)",
        "error.retry_after",
    ),
    Mutant(
        "old news is progress",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "resource_version <= known",
        "resource_version < known",
    ),
    Mutant(
        "what a watch repeats shows that it works",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "bookmark and resource_version == self.resource_version",
        "True",
    ),
    Mutant(
        "an event that is repeated counts as the bookmark of a quiet resource",
        "reflector/_reflector.py::Reflector._take_batch",
        "bookmark = not events and not batch.failures",
        "bookmark = True",
    ),
    Mutant(
        "a bookmark of the received version ends the doubt",
        "reflector/_silence.py::Silence.brought",
        "new or not self.found",
        "True",
    ),
    Mutant(
        "what a watch of all namespaces repeats shows that it works",
        "informer/_shared_watch.py::SharedWatch._take",
        "version > self.position or (bookmark and version == self.position)",
        "version",
    ),
    Mutant(
        "a watch that was refused slowly is a success",
        "reflector/_reflector.py::Reflector._watch",
        "now - began if opened else 0.0",
        "now - asked",
    ),
    Mutant(
        "watches that bring nothing are never answered by a list",
        "reflector/_state_machine.py::ReflectorMachine._list_if_due",
        "due and (self._barren or self._brought)",
        "False",
    ),
    Mutant(
        "what a watch brings at its opening ends the silence",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "since_opening > BACKLOG_SECONDS",
        "True",
    ),
    Mutant(
        "the time of slow refusals does not count",
        "reflector/_state_machine.py::ReflectorMachine._count_silence",
        "self._blind += self._took",
        "",
    ),
    Mutant(
        "pauses after failed watches grow beyond the age that a cache may have",
        "reflector/_state_machine.py::ReflectorMachine._pause",
        "not self._list_failures",
        "False",
    ),
    Mutant(
        "a watch that always fails after some seconds is well for some seconds",
        "reflector/_state_machine.py::ReflectorMachine._count_silence",
        "self.well_after = max(self.well_after, lasted + SHORT_WATCH_SECONDS)",
        "",
    ),
    Mutant(
        "the backlog of a watch shows that it works",
        "reflector/_silence.py::Silence.brought",
        "since_opening > BACKLOG_SECONDS",
        "True",
    ),
    Mutant(
        "what a proxy held back to the end shows that a watch works",
        "reflector/_silence.py::Silence.ended",
        "lasted - self.brought_at < LATE_SECONDS",
        "False",
    ),
    Mutant(
        "silent watches are believed one by one",
        "reflector/_silence.py::Silence.ended",
        "self._silent += lasted",
        "self._silent = lasted",
    ),
    Mutant(
        "a refused watch is a silent one that ended",
        "reflector/_silence.py::Silence.ended",
        "due and lasted > 0",
        "due",
    ),
    Mutant(
        "lists after silent watches cost any time",
        "reflector/_silence.py::Silence.ended",
        "self._since >= max(self._cost, self._apart)",
        "self._since >= self._apart",
    ),
    Mutant(
        "lists that bring nothing new are repeated at each end of a watch",
        "reflector/_silence.py::Silence.ended",
        "self._since >= max(self._cost, self._apart)",
        "self._since >= self._cost",
    ),
    Mutant(
        "one change that no watch brought makes watches deaf",
        "reflector/_silence.py::Silence.deaf",
        "self.found >= CONFIRMED",
        "self.found >= 1",
    ),
    Mutant(
        "doubted watches are asked for the usual time",
        "reflector/_silence.py::Silence.begin",
        "min(DOUBTED_SECONDS << self._rounds, usual)",
        "usual",
    ),
    Mutant(
        "watches are doubted for ever",
        "reflector/_silence.py::Silence.listed",
        "self.found = 1 if DOUBTED_SECONDS << self._rounds < self._usual else 0",
        "self.found = 1",
    ),
    Mutant(
        "a list right after what was held back ends the doubt",
        "reflector/_silence.py::Silence.listed",
        "if not checking:",
        "if False:",
    ),
    Mutant(
        "a change in any list makes watches doubted",
        "reflector/_silence.py::Silence.listed",
        "missed and (checking or self.found)",
        "missed",
    ),
    Mutant(
        "a watch after failures has as much time as any",
        "reflector/_state_machine.py::ReflectorMachine.on_trial",
        "self._blind > TRIAL_AFTER",
        "False",
    ),
    Mutant(
        "what was missed passes a trial",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "if since_opening > BACKLOG_SECONDS:",
        "if True:",
    ),
    Mutant(
        "a list after a trial does not look for what the watch did not bring",
        "reflector/_silence.py::Silence.ended",
        "if trial:",
        "if False:",
    ),
    Mutant(
        "a watch that passed its trial is closed all the same",
        "reflector/_reflector.py::Reflector._take_batch",
        "self._passed()",
        "",
    ),
    Mutant(
        "deaf watches are well as soon as the backlog comes",
        "reflector/_state_machine.py::ReflectorMachine.progressed",
        "silence.found < CONFIRMED",
        "True",
    ),
    Mutant(
        "deaf watches are well because they last as long as asked",
        "reflector/_state_machine.py::ReflectorMachine._lived",
        "not self._silence.deaf",
        "True",
    ),
    Mutant(
        "a list after a silent watch does not look for what the watch did not bring",
        "reflector/_reflector.py::Reflector._is_behind",
        "version_number(obj.resource_version) > received",
        "False",
    ),
    Mutant(
        "deletions that no watch brought do not make watches doubted",
        "reflector/_reflector.py::Reflector._listed",
        "missed or lost > 0",
        "missed",
    ),
    Mutant(
        "a silent watch of all namespaces is opened again for ever",
        "informer/_shared_watch.py::SharedWatch._gave_way_after_silence",
        "silent or self._silence.found",
        "False",
    ),
    Mutant(
        "a watch that is never answered is waited for",
        "reflector/_attempts.py::OpenWatch.__aenter__",
        "asyncio.timeout(OPENING_DEADLINE)",
        "asyncio.timeout(None)",
    ),
    Mutant(
        "an event in a malformed line is lost",
        "client/_decoding/watches.py::WatchDecoder._malformed",
        "self.ended = True",
        "",
    ),
    Mutant(
        "malformed lines are met again for ever",
        "reflector/_state_machine.py::ReflectorMachine._failed",
        "self._malformed >= WATCHES_BEFORE_LIST",
        "False",
    ),
    Mutant(
        "an index keeps what its object has left",
        "cache/_index.py::Index.put",
        """
        if before:
            self.remove(key)
        """,
        "",
    ),
    Mutant(
        "a deleted object stays in the indexes",
        "cache/indexer.py::Indexer.delete",
        """
        for index in self._indexes.values():
            index.remove(key)
        """,
        "",
    ),
    Mutant(
        "an index that is added late forgets what is in the cache",
        "cache/indexer.py::Indexer._index_some",
        "index.put(key, self._values(name, index, _view_of(stored)))",
        "pass",
    ),
    Mutant(
        "an index that is being built indexes changed objects again",
        "cache/_index.py::Index.put",
        "self.unindexed.pop(key, None)",
        "pass",
    ),
    Mutant(
        "a read finds an index that is being built incomplete",
        "cache/indexer.py::Indexer._index",
        "self._finish(name)",
        "pass",
    ),
    Mutant(
        "a read inflates what is stored",
        "cache/_compact/packed_object.py::PackedObject.view",
        "PackedObject(packed_state_of(self), packed_common_of(self), self.resource, self.key, None, None, source)",
        "self",
    ),
    Mutant(
        "what is gone comes back with a new dictionary",
        "cache/_compact/indexer.py::CompactIndexer._move_over",
        "stored = objects.get(key)",
        "stored = objects.get(key) or KubeObject(b'{}', None, None, key)",
    ),
    Mutant(
        "what a new dictionary saves is not counted",
        "cache/_compact/indexer.py::CompactIndexer._move_over",
        "self._stored_bytes += size - _size(stored)",
        "",
    ),
    Mutant(
        "a dictionary that is no better is taken",
        "cache/_compact/indexer.py::CompactIndexer.work",
        "size >= now * self._policy.gain",
        "False",
    ),
    Mutant(
        "objects that have become others are compressed as before for ever",
        "cache/_compact/indexer.py::CompactIndexer._look",
        "len(self._objects) >= policy.growth * self._made_of or self._ratio > policy.decay * self._ratio_at_first",
        "len(self._objects) >= policy.growth * self._made_of",
    ),
    Mutant(
        "a first list is held uncompressed until all of it is there",
        "reflector/_ingest.py::Intake.keep",
        "pack(usable)",
        "usable",
    ),
    Mutant(
        "an object that changes has its labels and uid once more",
        "cache/_compact/interning.py::HeadSharing.shared",
        """
        if known.labels == labels:
            labels = known.labels
        """,
        "",
    ),
    Mutant(
        "a compressed object that changes has its labels and owners once more",
        "cache/_compact/packed_head.py::pack_common",
        "return known",
        "pass",
    ),
    Mutant(
        "a read of a head makes the stored object larger",
        "cache/_compact/packed_object.py::PackedObject.common",
        "common_of[head] if type(head) is bytes else head",
        "self.metadata",
    ),
    Mutant(
        "what is shared is kept for ever",
        "_recent.py::RecentCache.put",
        "len(self._younger) >= self._size",
        "False",
    ),
    Mutant(
        "what a change replaces is still counted",
        "cache/indexer.py::Indexer._keep",
        "self._json_bytes -= len(before.raw)",
        "",
    ),
    Mutant(
        "an index remembers values that nothing has any more",
        "cache/_index.py::Index.remove",
        "self.alone.pop(value, None)",
        "",
    ),
    Mutant(
        "another object of the same name is an update",
        "cache/_process_deltas.py::_apply",
        "new.uid == old.uid",
        "True",
    ),
    Mutant(
        "older news from the watch overwrite newer",
        "cache/_process_deltas.py::_apply",
        "kind is not _REPLACED and _is_older(obj, known)",
        "False",
    ),
    Mutant(
        "the end of an earlier object ends the present one",
        "cache/_process_deltas.py::_apply",
        "delta.final_state_known and _is_older(obj, known)",
        "False",
    ),
    Mutant(
        "unchanged objects are updates",
        "cache/_process_deltas.py::_apply",
        "version and version == old.resource_version",
        "False",
    ),
    Mutant(
        "a removed handler gets what was queued",
        "informer/_handler_task.py::HandlerTask.remove",
        """
        if not self._draining:
            self._mailbox.clear()
        """,
        "",
    ),
    Mutant(
        "a handler that raises stops",
        "informer/_handler_task.py::HandlerTask._report",
        "self.failures += 1",
        "raise error",
    ),
    Mutant(
        "a late handler misses what is in the cache",
        "informer/_dispatcher.py::Dispatcher._bring_up_to_date",
        "listener.put_initial(self._indexer.copy())",
        "pass",
    ),
    Mutant(
        "the latest mailbox forgets the oldest old",
        "informer/_mailbox.py::_merge",
        "Updated(old, new)",
        "after",
    ),
    Mutant(
        "what came and went unseen is told",
        "informer/_mailbox.py::_merge",
        "()",
        "(after,)",
    ),
    Mutant(
        "what was observed is lost by an older list",
        "reflector/_ingest.py::Intake.queue_list",
        "kept[key] = obj",
        "pass",
    ),
    Mutant(
        "the rest of a list takes back what was observed meanwhile",
        "reflector/_ingest.py::Intake.observe",
        "self._queueing[obj.key] = usable",
        "pass",
    ),
    Mutant(
        "what was taken already counts as queued",
        "cache/delta_fifo.py::DeltaFIFO.extend",
        "taking and key in taking",
        "key in taking",
    ),
    Mutant(
        "two streams read into one buffer",
        "client/_http/raw_stream.py::RawStream.get_buffer",
        "_buffers.spare = None",
        "pass",
    ),
    Mutant(
        "a chunk of an answer may be longer than it says",
        "client/_http/response_parser.py::ResponseParser._take_chunks",
        "data[end - 1] != _LINE_FEED",
        "False",
    ),
    Mutant(
        "what only looks like an event is one",
        "client/_decoding/watches.py::WatchDecoder._take_usual",
        "decode(raw)",
        "decode(raw[:raw.find(b'\"spec\"') - 1] + b'}' if b'\"spec\"' in raw else raw)",
    ),
    Mutant(
        "a deletion is reached before the cache has seen the object",
        "_own_writes/pending.py::PendingWrite.is_reached",
        """
        if progress < self.after:
            return False
        """,
        "",
    ),
    Mutant(
        "a deletion is reached while the object is still there",
        "_own_writes/pending.py::PendingWrite.is_reached",
        """
        if cached is None or cached.uid != self.uid:
            return True
        """,
        "return True",
    ),
    Mutant(
        "a write is reached by an older state",
        "_own_writes/pending.py::PendingWrite.is_reached",
        "version_number(cached.resource_version) >= self.version",
        "version_number(cached.resource_version) >= 0",
    ),
    Mutant(
        "a deletion forgets what was written before it",
        "_own_writes/pending.py::PendingWrites.expect",
        "max([write.after, *(before.version for before in pending if not before.gone and before.uid == uid)])",
        "write.after",
    ),
    Mutant(
        "a key that was held back is never released",
        "_own_writes/gate.py::WriteGate._release",
        "self._release_key(key)",
        "None",
    ),
    Mutant(
        "a key whose writes are pending is handed out",
        "_own_writes/gate.py::WriteGate.must_wait",
        "key not in self._writes",
        "True",
    ),
    Mutant(
        "a bookmark reaches nothing",
        "reflector/_reflector.py::Reflector._take_batch",
        "fifo.mark(version, self._list_number)",
        "fifo.mark(version, self._list_number) if batch.events else None",
    ),
    Mutant(
        "a version counts as reached when it is received",
        "cache/delta_fifo.py::DeltaFIFO.mark",
        "due = self._taken + len(self._taking) + len(self._items)",
        "due = self._taken",
    ),
    Mutant(
        "of two answers the later counts, not the newer",
        "reflector/_ingest.py::Intake.observe",
        "known is None or _version(known) < _version(usable)",
        "True",
    ),
    Mutant(
        "an object that was deleted already can be observed",
        "reflector/_reflector.py::Reflector.observe",
        "not seen or version_number(obj.resource_version) <= version_number(seen)",
        "not seen",
    ),
    Mutant(
        "urgent keys let others starve",
        "workqueue/_priority_order.py::WorkOrder._pop",
        "self._turns + 1 >= self._oldest_every",
        "False",
    ),
    Mutant(
        "a key that is raised overtakes its new equals",
        "workqueue/_priority_order.py::WorkOrder.raise_priority",
        "self._enter(key, priority)",
        """
        self._enter(key, priority)
        self._levels[priority].move_to_end(key, last=False)
        """,
    ),
    Mutant(
        "a key that is raised waits anew",
        "workqueue/_priority_order.py::WorkOrder.raise_priority",
        "self._ages[key] = priority",
        """
        self._ages[key] = priority
        self._ages.move_to_end(key)
        """,
    ),
    Mutant(
        "two workers have one key",
        "workqueue/_work_queue.py::WorkQueue._add",
        "key in self._processing",
        "False",
    ),
    Mutant(
        "what was added while it was processed is lost",
        "workqueue/_work_queue.py::WorkQueue.done",
        "priority is not None",
        "False",
    ),
    Mutant(
        "what is given back after the end is lost",
        "workqueue/_work_queue.py::WorkQueue.give_back",
        "self._add(key, priority)",
        "self.add(key, priority=priority)",
    ),
    Mutant(
        "a key that changes all the time is debounced for ever",
        "workqueue/_rate_limiting_queue.py::RateLimitingQueue.add_debounced",
        "min(now + debounce.quiet, since + debounce.max_wait)",
        "now + debounce.quiet",
    ),
    Mutant(
        "of two moments of a key the later one counts",
        "workqueue/_delays.py::Delays.put",
        "known.due <= due",
        "known.due >= due",
    ),
    Mutant(
        "a moment that was replaced counts all the same",
        "workqueue/_delays.py::Delays._is_present",
        "entry is not None and entry.number == item[1]",
        "entry is not None",
    ),
    Mutant(
        "what was there already is as urgent as a change",
        "controller/_event_mapping.py::_priority_of",
        "return LOW_PRIORITY",
        "return DEFAULT_PRIORITY",
    ),
    Mutant(
        "a filter may swallow a deletion",
        "filters.py::EventFilter.answer",
        "isinstance(event, Deleted) or (isinstance(event, Updated) and _deletion_begins(event))",
        "isinstance(event, Updated) and _deletion_begins(event)",
    ),
    Mutant(
        "a filter may swallow the beginning of a deletion",
        "filters.py::EventFilter.answer",
        "isinstance(event, Deleted) or (isinstance(event, Updated) and _deletion_begins(event))",
        "isinstance(event, Deleted)",
    ),
    Mutant(
        "updates of what has no generation are swallowed",
        "filters.py::_generation_changed",
        "None if before is None and now is None else before != now",
        "before != now",
    ),
    Mutant(
        "a terminal error is tried again",
        "controller/_workers.py::Workers._process",
        "outcomes.failed_for_good(key, error)",
        "outcomes.failed(key, 'failed', error)",
    ),
    Mutant(
        "a bug ends its worker",
        "controller/_workers.py::Workers._work",
        "await asyncio.sleep(0)",
        "return",
    ),
    Mutant(
        "a reconcile that cancels its own task ends its worker",
        "controller/_workers.py::Workers._work",
        "if self._must_end:",
        "if True:",
    ),
    Mutant(
        "reconciles go on when leadership is lost",
        "controller/_workers.py::Workers._lead",
        """
        for worker in workers:
            worker.cancel()
        """,
        "",
    ),
    Mutant(
        "reconciles begin before the loss of leadership is told",
        "controller/_workers.py::Workers._work_once",
        "self._discarding or not (self._leadership is None or self._leadership.is_leader)",
        "self._discarding",
    ),
    Mutant(
        "what was put aside is lost while draining",
        "controller/_workers.py::Workers._work_once",
        """
        if not self.before.waits:
            return False
        """,
        "return False",
    ),
    Mutant(
        "success does not forget failures",
        "controller/_outcomes.py::Outcomes.succeeded",
        "self._limit('forget', key, lambda: self._queue.forget(key))",
        "None",
    ),
    Mutant(
        "a key that comes again has lost its priority",
        "controller/_outcomes.py::Outcomes.succeeded",
        "self.priority(key) if outcome.priority is None else outcome.priority",
        "DEFAULT_PRIORITY if outcome.priority is None else outcome.priority",
    ),
    Mutant(
        "an event brings a key back before the time that the server asked for",
        "controller/_outcomes.py::Outcomes.failed",
        "self.patience.postpone(key, patience)",
        "None",
    ),
    Mutant(
        "an exception that is no Exception ends a worker",
        "controller/_workers.py::Workers._process",
        "not is_survivable(error)",
        "not isinstance(error, Exception)",
    ),
    Mutant(
        "what is debounced is lost while draining",
        "controller/_controller.py::Controller._stop",
        "self.queue.add_debounced_now()",
        "",
    ),
    Mutant(
        "an object is lost between two parts of a page",
        "client/_decoding/lists.py::ListCutter.take",
        "self._head = self._head or body[:start]",
        """
        end = body.find(b'}},{', end + 2) + 1 or end
        self._head = self._head or body[:start]
        """,
    ),
    Mutant(
        "what looks like an object inside of another ends a part of a page",
        "client/_decoding/lists.py::_cut",
        "return None",
        """
        items.reverse()
        return (items, failures) if items else None
        """,
    ),
    Mutant(
        "the parts of a page count as pages",
        "reflector/_reflector.py::Reflector._list",
        "not page.partial",
        "1",
    ),
    Mutant(
        "an object that was deleted as its range left stays in the cache for a second",
        "cache/membership.py::Membership.depart",
        "(known := self._known(held.key)) is not None and ranges.has(known)",
        "False",
    ),
    Mutant(
        "a key of a slice that is not worked on is reconciled",
        "controller/_slice_ownership.py::SliceOwnership.drops",
        "engine.may_work(number)",
        "engine.is_wanted(number)",
    ),
    Mutant(
        "a slice is given before its deleted objects were reconciled",
        "controller/_slice_ownership.py::SliceOwnership.has_stopped",
        "number not in self._gone.values()",
        "True",
    ),
    Mutant(
        "a deletion during a reconcile is dealt with by that reconcile",
        "controller/_slice_ownership.py::SliceOwnership.deleted",
        "self._dealt_with.discard(obj.key)",
        "None",
    ),
    Mutant(
        "a reconcile that was cancelled with its slice is not repeated when the slice comes back",
        "controller/_workers.py::Workers._process",
        "self._queue.add(key, priority=outcomes.priority(key))",
        "None",
    ),
    Mutant(
        "the server is asked about each key that waits when its slice goes",
        "controller/_slice_ownership.py::SliceOwnership.departed",
        "self._refused.add(key)",
        "None",
    ),
    Mutant(
        "an object that went to another replica counts as deleted",
        "controller/_event_mapping.py::EventMapping.on_event",
        "isinstance(event, Deleted) and event.out_of_scope and self._on_departed is not None",
        "False",
    ),
    Mutant(
        "on a quiet resource a slice waits for a bookmark before it is given",
        "informer/_slice_caches.py::InformerSlices.catch_up",
        "self._confirmed[number] = max(version, self._confirmed.get(number, 0))",
        "None",
    ),
    Mutant(
        "a slice that the server refuses to list counts as listed",
        "informer/_slice_caches.py::InformerSlices.follow",
        "self._core.is_refused",
        "False",
    ),
    Mutant(
        "a member works on without a valid Lease (R1)",
        "operators/_shard_protocol.py::ShardMember.workable",
        "not self.is_valid(now)",
        "False",
    ),
    Mutant(
        "a renewal is believed in from its answer on, not from its sending (R1)",
        "operators/_shard_protocol.py::ShardMember._own_written",
        "self.valid_until = max(self.valid_until, request.sent + self._times.renew_deadline)",
        "self.valid_until = now + self._times.renew_deadline",
    ),
    Mutant(
        "an older table is taken (R2)",
        "operators/_shard_protocol.py::ShardMember.saw_table",
        "version <= self._table_version",
        "version == self._table_version",
    ),
    Mutant(
        "slices are taken without a fence (R3)",
        "operators/_shard_peers.py::ShardPeers.overdue",
        "return WriteMember(name, peer.version if peer.exists else 0, fenced, now)",
        "peer.record = fenced",
    ),
    Mutant(
        "a member renews over a fence that its watch has shown (R4)",
        "operators/_shard_protocol.py::ShardMember._saw_own",
        "if self.number and not self._holds_own():",
        "if False:",
    ),
    Mutant(
        "a fenced member comes back as the same incarnation (R4)",
        "operators/_shard_protocol.py::ShardMember._lease_request",
        "number = max(self._last_number, record.number if record is not None else 0) + 1",
        "number = max(self._last_number, record.number if record is not None else 1)",
    ),
    Mutant(
        "an incarnation begins while reconciles of the last one are under way (R4)",
        "operators/_shard_protocol.py::ShardMember._lease_request",
        "if self._ending:",
        "if False:",
    ),
    Mutant(
        "an incarnation that is newer than its Lease as known counts as dead (R5)",
        "operators/_shard_peers.py::ShardPeers.is_dead",
        "record.number > incarnation.number",
        "record.number != incarnation.number",
    ),
    Mutant(
        "slices of the living are taken (R6)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "owner != me and self.is_dead(owner)",
        "owner != me",
    ),
    Mutant(
        "the last member rests although another one has joined (R11)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "self._draining &= self.table.handovers.keys()",
        "",
    ),
    Mutant(
        "the last member leaves without a most recent list of the members (R11)",
        "operators/_shard_protocol.py::ShardMember._decision",
        "not self._alone",
        "False",
    ),
    Mutant(
        "a slice is given before its work has stopped (R7)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "if number in self._drained:",
        "if True:",
    ),
    Mutant(
        "work is resumed while an unanswered gift may still be applied (R8)",
        "operators/_shard_protocol.py::ShardMember._table_written",
        "self._doubt = request.version",
        "self._draining.clear()",
    ),
    Mutant(
        "a slice is given before the next owner has listed it (R9)",
        "operators/_shard_plan.py::TablePlan.acknowledged",
        "if ready is not None and ready.intent == handover.intent: yield (number, ready.version)",
        "yield (number, 0 if ready is None else ready.version)",
    ),
    Mutant(
        "a slice is given before handlers were called for all that the next owner does not see (R9)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "cache.seen < version",
        "False",
    ),
    Mutant(
        "an acknowledgement of an earlier hand-over counts (R9)",
        "operators/_shard_plan.py::TablePlan.acknowledged",
        "ready.intent == handover.intent",
        "True",
    ),
    Mutant(
        "slices move at once when a member joins (R10)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "now - self._peers.changed_at >= self._times.settle",
        "True",
    ),
    Mutant(
        "a member leaves before it has given everything (R11)",
        "operators/_shard_protocol.py::ShardMember._lease_request",
        "self.leaving and self._has_given_all()",
        "self.leaving",
    ),
    Mutant(
        "a table that was deleted is replaced without a wait (R12)",
        "operators/_shard_protocol.py::ShardMember._begin_anew",
        "self._resting_until = now + self._times.lease_duration",
        "self._resting_until = now",
    ),
    Mutant(
        "slices are given while a member may work by a lost table (R12)",
        "operators/_shard_protocol.py::ShardMember._plan_moves",
        "self._peers.lost_table_is_followed(self.table, now)",
        "False",
    ),
    Mutant(
        "a table of an older generation is followed (R12)",
        "operators/_shard_protocol.py::ShardMember._take_note",
        "table.id != known.id or table.generation <= known.generation",
        "table.id != known.id",
    ),
    Mutant(
        "a Lease that was edited shows that its incarnation lives (R13)",
        "operators/_shard_peers.py::_takes_part",
        "record.holds and record.readable",
        "record.holds",
    ),
    Mutant(
        "a Lease that was edited is fenced as a lower incarnation than the table names (R13)",
        "operators/_shard_peers.py::ShardPeers.overdue",
        "max(peer.record.number, self._highest_named(name, table), 1)",
        "max(peer.record.number, 1)",
    ),
    Mutant(
        "an edit of a Lease is no change of it, though it may hide a renewal (R13)",
        "operators/_shard_peers.py::ShardPeers.saw",
        "self._peers[name] = _Peer(version, record, now, other_table_since=min(since, now) if mismatch else math.inf)",
        "self._peers[name] = _Peer(version, record, now if record.readable or peer is None else peer.changed_at, "
        "other_table_since=min(since, now) if mismatch else math.inf)",
    ),
    Mutant(
        "a Lease is read whatever its checksum (R13)",
        "operators/_shard_leases.py::_content",
        "lease.annotations[_CHECKSUM] != _checksum(lease.name, text, _spec(lease))",
        "False",
    ),
)


BODIES = ("body", "orelse", "finalbody", "handlers")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def mutated(mutant: Mutant, source: str) -> str:
    """Return the source of the file with the bug in it.

    Raises:
        ValueError: the place is not there, the piece is not there exactly once, or the result is no Python.
    """
    tree = ast.parse(source)
    place: ast.AST = tree
    for name in mutant.at.partition("::")[2].split("."):
        inner = [node for node in _definitions(place) if node.name == name]
        if len(inner) != 1:
            raise ValueError(f"{mutant.name}: {mutant.at} is there {len(inner)} times, not once")
        place = inner[0]
    changes = [*_changes(place, textwrap.dedent(mutant.right).strip(), textwrap.dedent(mutant.wrong).strip())]
    if len(changes) != 1:
        raise ValueError(f"{mutant.name}: {mutant.right.strip()!r} is {len(changes)} times in {mutant.at}, not once")
    changes[0]()
    bad = ast.unparse(tree)
    try:
        compile(bad, mutant.file, "exec")
    except SyntaxError as error:
        msg = f"{mutant.name}: its change makes no Python of {mutant.file}: {error}"
        raise ValueError(msg) from error
    return bad


def _definitions(place: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the classes and functions below `place`, at any depth: they are among statements, never in expressions."""
    for name in (*BODIES, "cases"):
        for node in getattr(place, name, ()):
            if isinstance(node, DEFINITIONS):
                yield node
            yield from _definitions(node)


def _changes(place: ast.AST, right: str, wrong: str) -> Iterator[Callable[[], None]]:
    """Yield a function that makes the change, for each part of `place` that is `right`."""
    if right.endswith(":"):
        header, other = _statements(f"{right}\n ...")[0], _statements(f"{wrong}\n ...")[0]
        if type(header) is not type(other):
            raise ValueError(f"{right} and {wrong} are two statements, of which one cannot keep the other's body")
        yield from _of_headers(place, header, other)
        return
    before, after = _statements(right), _statements(wrong)
    whole = [ast.dump(statement) for statement in before]
    found = False
    for node in ast.walk(place):
        for name in BODIES:
            body = getattr(node, name, None)
            if not isinstance(body, list):
                continue
            for start in range(len(body) - len(before) + 1):
                if [ast.dump(statement) for statement in body[start : start + len(before)]] == whole:
                    found = True
                    yield partial(_replace, body, start, len(before), after)
    if not found and len(before) == 1 and isinstance(before[0], ast.Expr):
        (new,) = after
        yield from _of_expressions(place, before[0].value, cast("ast.Expr", new).value)


def _of_headers(place: ast.AST, before: ast.stmt, after: ast.stmt) -> Iterator[Callable[[], None]]:
    fields = [field for field in before._fields if field not in BODIES]

    def header(node: ast.AST) -> list[str]:
        return [ast.dump(value) if isinstance(value := getattr(node, f), ast.AST) else repr(value) for f in fields]

    for node in ast.walk(place):
        if type(node) is type(before) and header(node) == header(before):
            yield partial(vars(node).update, {field: getattr(after, field) for field in fields})


def _of_expressions(place: ast.AST, before: ast.expr, after: ast.expr) -> Iterator[Callable[[], None]]:
    whole = ast.dump(before)
    for node in ast.walk(place):
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.AST) and ast.dump(value) == whole:
                yield partial(setattr, node, name, after)
            for number, item in enumerate(value if isinstance(value, list) else ()):
                if isinstance(item, ast.expr) and ast.dump(item) == whole:
                    yield partial(value.__setitem__, number, after)


def _replace(body: list[ast.stmt], start: int, count: int, new: list[ast.stmt]) -> None:
    body[start : start + count] = new
    if not body:
        body.append(ast.Pass())


def _statements(source: str) -> list[ast.stmt]:
    """Parse statements that may stand in any function: `return`, `await` and `yield` included."""
    function = ast.parse("async def _():\n" + textwrap.indent(source or "pass", "    ")).body[0]
    return cast("ast.AsyncFunctionDef", function).body if source else []


def killed_by(mutant: Mutant) -> str | None:
    """Return the test that fails for a mutant and passes without it, or `None` if all pass.

    Raises:
        ValueError: the mutant changes nothing, or a test fails without it as well.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for part in ("kinformer", "tests", "examples", "docs"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / "kinformer" / mutant.file
        source = target.read_text()
        target.write_text(mutated(mutant, source))
        for tests in _nearest_first(copy, mutant.file):
            ended, output = _run(copy, tests)
            if ended:
                # Lines of the summary, not of a captured log.
                failed = [line for line in output.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
                if not failed:
                    # It hung, and pytest-timeout ended the process.
                    return output.strip()[-300:] or f"pytest ended with {ended}"
                test = failed[0].partition(" - ")[0].partition(" ")[2]
                target.write_text(source)
                if _run(copy, test)[0]:
                    raise ValueError(f"{test} fails without the mutant {mutant.name!r}, too: mend it first")
                return test
    return None


def _nearest_first(copy: Path, file: str) -> Iterator[str]:
    """Yield what to run: the tests of a module, then those of the packages around it, then all."""
    yield from (place.relative_to(ROOT).as_posix() for place in places_of(ROOT / "kinformer" / file))
    mirror = Path("tests/unit", *(part.removeprefix("_") for part in Path(file).parent.parts))
    while mirror != Path("tests/unit"):
        if (copy / mirror).is_dir():
            yield str(mirror)
        mirror = mirror.parent
    yield from TESTS


def _run(copy: Path, tests: str) -> tuple[int, str]:
    """Run tests of a copy of the tree; return pytest's exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "-p", "no:cacheprovider", tests],
        cwd=copy,
        env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "KINFORMER_SCHEDULES": "2000"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def main(names: list[str]) -> int:
    """Try the named mutants, or all."""
    survived = 0
    for mutant in MUTANTS:
        if names and mutant.name not in names:
            continue
        killer = killed_by(mutant)
        survived += killer is None
        print(f"{'caught  ' if killer else 'SURVIVED'}  {mutant.name:<62} {killer or ''}", flush=True)
    print(f"{survived} of {len(names or MUTANTS)} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
