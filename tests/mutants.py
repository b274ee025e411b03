"""Does the suite notice? Deliberate bugs, each seeded into a copy of the tree, and the tests that must fail for it.

    make mutants            all of them, in a few minutes
    python tests/mutants.py NAME ...

A mutant that survives is a rule that nothing pins. Exits with 1 if one does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/unit", "tests/properties", "tests/scenarios")


@dataclass(frozen=True)
class Mutant:
    """One bug: a piece of a file, and what it becomes."""

    name: str
    file: str
    right: str
    wrong: str


MUTANTS = (
    Mutant(
        "a relist forgets deletions",
        "cache/delta_fifo.py",
        "                self._append_lost(key, first=first)\n        for count",
        "                pass\n        for count",
    ),
    Mutant(
        "a relist forgets deletions of what is still queued",
        "cache/delta_fifo.py",
        "        for key in [key for key in self.list_keys() if key not in by_key]:\n",
        "        for key in ():\n",
    ),
    Mutant(
        "deletions found by a list claim to know the final state",
        "cache/delta_fifo.py",
        "self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))\n            # Also",
        "self._append(key, Delta(DeltaType.DELETED, last))\n            # Also",
    ),
    Mutant(
        "a sliced list counts as synced after its first slice",
        "cache/delta_fifo.py",
        "            self._initial_left = 1\n",
        "            self._initial_left = 0\n",
    ),
    Mutant(
        "an object that cannot be used stays in the cache as it was",
        "reflector/_ingest.py",
        "            if failure.key:\n                fifo.leave_out(ObjectKey.parse(failure.key))",
        "            if failure.key:\n                pass",
    ),
    Mutant(
        "a streaming list is swapped in at any bookmark",
        "client/_decoding/watches.py",
        'metadata.annotations.get("k8s.io/initial-events-end") == "true"',
        "True",
    ),
    Mutant(
        "a streaming list is swapped in before its end",
        "reflector/_reflector.py",
        "if batch.initial_events_end:",
        "if batch.initial_events_end or len(kept) > 1:",
    ),
    Mutant(
        "deletions within a streaming list are ignored",
        "reflector/_ingest.py",
        "                run = []\n                kept.pop(obj.key, None)",
        "                run = []",
    ),
    Mutant(
        "bookmarks are no progress of the version",
        "reflector/_reflector.py",
        "if batch.events or batch.resource_version:",
        "if batch.events:",
    ),
    Mutant(
        "the version goes back with the stream",
        "reflector/_state_machine.py",
        "if resource_version and not self.is_older(resource_version):",
        "if resource_version:",
    ),
    Mutant(
        "a list that is older than what was seen is taken",
        "reflector/_state_machine.py",
        "return not self._quorum and self.is_older(resource_version)",
        "return False",
    ),
    Mutant(
        "an expired version is watched again for ever",
        "reflector/_state_machine.py",
        '            self._list_reason = "expired"\n',
        "",
    ),
    Mutant(
        "a relist starts from version 0",
        "reflector/_state_machine.py",
        'return StreamStep("" if self._quorum else self.resource_version,',
        'return StreamStep("",',
    ),
    Mutant(
        "watches that close at once are not slowed down",
        "reflector/_state_machine.py",
        "if self._short_watches <= 1:",
        "if self._short_watches <= 1000:",
    ),
    Mutant(
        "a stream that always has something ready holds the loop",
        "reflector/_reflector.py",
        "                await asyncio.sleep(0)\n                now = clock()\n",
        "                now = clock()\n",
    ),
    Mutant(
        "success does not reset the backoff",
        "reflector/_state_machine.py",
        "            self.resource_version = resource_version\n        self.failures = 0\n",
        "            self.resource_version = resource_version\n",
    ),
    Mutant(
        "Retry-After is ignored",
        "reflector/_state_machine.py",
        "error.retry_after if isinstance(error, ApiError) else None",
        "None",
    ),
    Mutant(
        "an index keeps what its object has left",
        "cache/indexer.py",
        "        if before:\n            self.remove(key)\n",
        "",
    ),
    Mutant(
        "a deleted object stays in the indexes",
        "cache/indexer.py",
        "            for index in self._indexes.values():\n                index.remove(key)\n",
        "",
    ),
    Mutant(
        "an index that is added late forgets what is in the cache",
        "cache/indexer.py",
        "                index.put(key, self._values(name, index, stored.view()))\n\n    def put",
        "                pass\n\n    def put",
    ),
    Mutant(
        "a read inflates what is stored",
        "cache/_compact/packed_object.py",
        "        return PackedObject(_frame_of(self), self.metadata, self.resource, self.key, None, source)",
        "        return self",
    ),
    Mutant(
        "what is gone comes back with a new dictionary",
        "cache/_compact/indexer.py",
        "        for count, key in enumerate([*objects], 1):\n            stored = objects.get(key)\n",
        "        for count, (key, stored) in enumerate([*objects.items()], 1):\n",
    ),
    Mutant(
        "what a new dictionary saves is not counted",
        "cache/_compact/indexer.py",
        "                    self._stored_bytes += _size(moved) - _size(stored)\n",
        "",
    ),
    Mutant(
        "a dictionary that is no better is taken",
        "cache/_compact/indexer.py",
        "if size >= now * self._policy.gain:",
        "if False:",
    ),
    Mutant(
        "objects that have become others are compressed as before for ever",
        "cache/_compact/indexer.py",
        " or self._ratio > policy.decay * self._ratio_at_first:",
        ":",
    ),
    Mutant(
        "a first list is held uncompressed until all of it is there",
        "reflector/_ingest.py",
        "packed = pack(usable)",
        "packed = usable",
    ),
    Mutant(
        "an object that changes has its labels and uid once more",
        "cache/_compact/interning.py",
        "        if known.labels == labels:\n            labels = known.labels\n",
        "",
    ),
    Mutant(
        "what is shared is kept for ever",
        "_recent.py",
        "if len(self._younger) >= self._size:",
        "if False:",
    ),
    Mutant(
        "what a change replaces is still counted",
        "cache/indexer.py",
        "        self._json_bytes -= len(before.raw)\n",
        "",
    ),
    Mutant(
        "an index remembers values that nothing has any more",
        "cache/indexer.py",
        "                self.alone.pop(value, None)\n",
        "",
    ),
    Mutant(
        "another object of the same name is an update",
        "cache/_process_deltas.py",
        "if new.uid == old.uid:",
        "if True:",
    ),
    Mutant(
        "older news from the watch overwrite newer",
        "cache/_process_deltas.py",
        "if kind is not _REPLACED and _is_older(obj, known):",
        "if False:",
    ),
    Mutant(
        "the end of an earlier object ends the present one",
        "cache/_process_deltas.py",
        "if delta.final_state_known and _is_older(obj, known):",
        "if False:",
    ),
    Mutant(
        "unchanged objects are updates",
        "cache/_process_deltas.py",
        "if new.resource_version == old.resource_version and new.resource_version:",
        "if False:",
    ),
    Mutant(
        "a removed handler gets what was queued",
        "informer/registration.py",
        "        if not self._draining:\n            self._mailbox.clear()\n",
        "",
    ),
    Mutant(
        "a handler that raises stops",
        "informer/registration.py",
        "self._report(item, error)\n                    except asyncio",
        "self._report(item, error)\n                        return\n                    except asyncio",
    ),
    Mutant(
        "a late handler misses what is in the cache",
        "informer/_dispatcher.py",
        "listener.put([Added(obj, initial=True) for obj in self._indexer.list()])",
        "pass",
    ),
    Mutant(
        "the latest mailbox forgets the oldest old",
        "informer/_mailbox.py",
        "            return (Updated(old, new),)",
        "            return (after,)",
    ),
    Mutant(
        "what came and went unseen is told",
        "informer/_mailbox.py",
        "        case Added(), Deleted():\n            return ()\n",
        "        case Added(), Deleted():\n            return (after,)\n",
    ),
    Mutant(
        "what was observed is lost by an older list",
        "reflector/_ingest.py",
        "                kept[key] = obj\n        self",
        "                pass\n        self",
    ),
    Mutant(
        "the rest of a list takes back what was observed meanwhile",
        "reflector/_ingest.py",
        "            self._queueing[obj.key] = usable\n",
        "            pass\n",
    ),
    Mutant(
        "what was taken already counts as queued",
        "cache/delta_fifo.py",
        "(taking and taking.get(key) is not None)",
        "key in taking",
    ),
    Mutant(
        "two streams read into one buffer",
        "client/_http/raw_stream.py",
        "return self._spare.pop() if self._spare",
        "return self._spare[-1] if self._spare",
    ),
    Mutant(
        "a chunk of an answer may be longer than it says",
        "client/_http/response_parser.py",
        "                if data[end - 1] != _LINE_FEED:\n",
        "                if False:\n",
    ),
    Mutant(
        "what only looks like an event is one",
        "client/_decoding/watches.py",
        """            try:
                metadata = decode(raw)
            except NOT_JSON:
                break
""",
        """            try:
                metadata = decode(raw[: raw.find(b'"spec"') - 1] + b"}" if b'"spec"' in raw else raw)
            except NOT_JSON:
                break
""",
    ),
    Mutant(
        "a deletion is reached before the cache has seen the object",
        "_own_writes/pending.py",
        "        if progress < self.after:\n            return False\n",
        "",
    ),
    Mutant(
        "a deletion is reached while the object is still there",
        "_own_writes/pending.py",
        "        if cached is None or cached.uid != self.uid:\n            return True\n",
        "        return True\n",
    ),
    Mutant(
        "a write is reached by an older state",
        "_own_writes/pending.py",
        "version_number(cached.resource_version) >= self.version\n",
        "version_number(cached.resource_version) >= 0\n",
    ),
    Mutant(
        "a deletion forgets what was written before it",
        "_own_writes/pending.py",
        "after = max([write.after, *(floor.version for floor in pending if not floor.gone and floor.uid == uid)])",
        "after = write.after",
    ),
    Mutant(
        "a bookmark reaches nothing",
        "reflector/_reflector.py",
        "                if not batch.events:\n                    self._on_progress()\n",
        "",
    ),
    Mutant(
        "of two answers the later counts, not the newer",
        "reflector/_ingest.py",
        "if known is None or _version(known) < _version(usable):",
        "if True:",
    ),
    Mutant(
        "an object that was deleted already can be observed",
        "reflector/_reflector.py",
        "if not seen or version_number(obj.resource_version) <= version_number(seen):",
        "if not seen:",
    ),
    Mutant(
        "urgent keys let others starve",
        "workqueue/_priority_order.py",
        "if self._turns + 1 >= self._oldest_every:",
        "if False:",
    ),
    Mutant(
        "a key that is raised overtakes its new equals",
        "workqueue/_priority_order.py",
        "            self._leave(key, known)\n            self._enter(key, priority)\n",
        "            self._leave(key, known)\n            self._enter(key, priority)\n"
        "            self._levels[priority].move_to_end(key, last=False)\n",
    ),
    Mutant(
        "a key that is raised waits anew",
        "workqueue/_priority_order.py",
        "            self._ages[key] = priority\n            self._leave(key, known)\n",
        "            self._ages[key] = priority\n            self._ages.move_to_end(key)\n"
        "            self._leave(key, known)\n",
    ),
    Mutant(
        "two workers have one key",
        "workqueue/_queues.py",
        "        if key in self._processing:\n            marked",
        "        if False:\n            marked",
    ),
    Mutant(
        "what was added while it was processed is lost",
        "workqueue/_queues.py",
        "        if priority is not None:\n            self._order.push(key, priority)\n",
        "        if False:\n            self._order.push(key, priority)\n",
    ),
    Mutant(
        "what is given back after the end is lost",
        "workqueue/_queues.py",
        "            self._add(key, priority)\n        self.done(key)",
        "            self.add(key, priority=priority)\n        self.done(key)",
    ),
    Mutant(
        "a key that changes all the time is debounced for ever",
        "workqueue/_queues.py",
        "due = min(now + debounce.quiet, since + debounce.max_wait)",
        "due = now + debounce.quiet",
    ),
    Mutant(
        "of two moments of a key the later one counts",
        "workqueue/_delays.py",
        "if known is not None and known.due <= due:",
        "if known is not None and known.due >= due:",
    ),
    Mutant(
        "a moment that was replaced counts all the same",
        "workqueue/_delays.py",
        "return entry is not None and entry.number == item[1]",
        "return entry is not None",
    ),
    Mutant(
        "what was there already is as urgent as a change",
        "controller/_event_mapping.py",
        "            return LOW_PRIORITY\n",
        "            return DEFAULT_PRIORITY\n",
    ),
    Mutant(
        "a filter may swallow a deletion",
        "filters.py",
        "if isinstance(event, Deleted) or (isinstance(event, Updated) and _deletion_begins(event)):",
        "if isinstance(event, Updated) and _deletion_begins(event):",
    ),
    Mutant(
        "a filter may swallow the beginning of a deletion",
        "filters.py",
        "if isinstance(event, Deleted) or (isinstance(event, Updated) and _deletion_begins(event)):",
        "if isinstance(event, Deleted):",
    ),
    Mutant(
        "updates of what has no generation are swallowed",
        "filters.py",
        "return None if before is None and now is None else before != now",
        "return before != now",
    ),
    Mutant(
        "a terminal error is tried again",
        "controller/_workers.py",
        "            if terminal:\n",
        "            if False:\n",
    ),
    Mutant(
        "a bug ends its worker",
        "controller/_workers.py",
        "                await asyncio.sleep(_PAUSE_AFTER_BUG)\n",
        "                return\n",
    ),
    Mutant(
        "a reconcile that cancels its own task ends its worker",
        "controller/_workers.py",
        "                if self._told_to_end:\n                    raise\n                _shake",
        "                if True:\n                    raise\n                _shake",
    ),
    Mutant(
        "reconciles go on when leadership is lost",
        "controller/_workers.py",
        "        for worker in workers:\n            worker.cancel()\n",
        "",
    ),
    Mutant(
        "reconciles begin before the loss of leadership is told",
        "controller/_workers.py",
        "if self._discarding or not (self._leadership is None or self._leadership.is_leader):",
        "if self._discarding:",
    ),
    Mutant(
        "what was put aside is lost while draining",
        "controller/_workers.py",
        "            if not self.aside:\n                return False\n",
        "            return False\n",
    ),
    Mutant(
        "success does not forget failures",
        "controller/_workers.py",
        "priority=priority)\n            self._queue.forget(key)\n",
        "priority=priority)\n",
    ),
    Mutant(
        "a key that comes again has lost its priority",
        "controller/_workers.py",
        "priority = self._priority(key) if outcome.priority is None else outcome.priority",
        "priority = DEFAULT_PRIORITY if outcome.priority is None else outcome.priority",
    ),
    Mutant(
        "what is debounced is lost while draining",
        "controller/_controller.py",
        "                    self.queue.add_debounced_now()\n",
        "",
    ),
    Mutant(
        "an object is lost between two parts of a page",
        "client/_decoding/lists.py",
        "items = await _cut(body, start, end + 1, separator, self._resource)\n            if items is not None:\n",
        "items = await _cut(body, start, end + 1, separator, self._resource)\n            if items is not None:\n"
        "                end = body.find(b'}},{', end + 2) + 1 or end\n",
    ),
    Mutant(
        "what looks like an object inside of another ends a part of a page",
        "client/_decoding/lists.py",
        "                if candidate < 0 or misses > _MISSES:\n                    return None\n",
        "                if candidate < 0 or misses > _MISSES:\n                    items.reverse()\n"
        "                    return items or None\n",
    ),
    Mutant(
        "the parts of a page count as pages",
        "reflector/_reflector.py",
        "pages += not page.partial",
        "pages += 1",
    ),
)


def mutated(mutant: Mutant, source: str) -> str:
    """The file with the bug in it.

    Raises:
        ValueError: the mutant says nothing: the piece is not there exactly once, or what comes of it is no Python.
    """
    if source.count(mutant.right) != 1:
        msg = f"{mutant.name}: what it changes is {source.count(mutant.right)} times in {mutant.file}, not once"
        raise ValueError(msg)
    bad = source.replace(mutant.right, mutant.wrong)
    try:
        compile(bad, mutant.file, "exec")
    except SyntaxError as error:
        msg = f"{mutant.name}: what it makes of {mutant.file} is no Python: {error}"
        raise ValueError(msg) from error
    return bad


def killed_by(mutant: Mutant) -> str | None:
    """The test that fails for a mutant, or `None` when all pass.

    Raises:
        ValueError: the mutant says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for part in ("kinformer", "tests", "examples"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / "kinformer" / mutant.file
        target.write_text(mutated(mutant, target.read_text()))
        for tests in TESTS:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "-p", "no:cacheprovider", tests],
                cwd=copy,
                env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "KINFORMER_SCHEDULES": "2000"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
                if failed:
                    return failed[0].partition(" - ")[0].removeprefix("FAILED ")
                # It hung, and pytest-timeout ended the process.
                return (done.stdout + done.stderr).strip()[-300:] or f"pytest ended with {done.returncode}"
    return None


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
