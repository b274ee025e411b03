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
        "delta_fifo.py",
        "                self._append_lost(key, first=first)\n        for count",
        "                pass\n        for count",
    ),
    Mutant(
        "a relist forgets deletions of what is still queued",
        "delta_fifo.py",
        "        for key in [key for key in self._items if key not in by_key]:\n",
        "        for key in ():\n",
    ),
    Mutant(
        "deletions found by a list claim to know the final state",
        "delta_fifo.py",
        "self._append(key, Delta(DeltaType.DELETED, last, final_state_known=False))\n            # Also",
        "self._append(key, Delta(DeltaType.DELETED, last))\n            # Also",
    ),
    Mutant(
        "a sliced list counts as synced after its first slice",
        "delta_fifo.py",
        "            self._initial_left = 1\n",
        "            self._initial_left = 0\n",
    ),
    Mutant(
        "an object that cannot be used stays in the cache as it was",
        "intake.py",
        "            if failure.key:\n                fifo.leave_out(ObjectKey.parse(failure.key))",
        "            if failure.key:\n                pass",
    ),
    Mutant(
        "a streaming list is swapped in at any bookmark",
        "client/_watching.py",
        'metadata.annotations.get("k8s.io/initial-events-end") == "true"',
        "True",
    ),
    Mutant(
        "a streaming list is swapped in before its end",
        "reflector.py",
        "if batch.initial_events_end:",
        "if batch.initial_events_end or len(kept) > 1:",
    ),
    Mutant(
        "deletions within a streaming list are ignored",
        "intake.py",
        "                run = []\n                kept.pop(obj.key, None)",
        "                run = []",
    ),
    Mutant(
        "bookmarks are no progress of the version",
        "reflector.py",
        "if batch.events or batch.resource_version:",
        "if batch.events:",
    ),
    Mutant(
        "the version goes back with the stream",
        "reflector_machine.py",
        "if resource_version and not self.is_older(resource_version):",
        "if resource_version:",
    ),
    Mutant(
        "a list that is older than what was seen is taken",
        "reflector_machine.py",
        "return not self._quorum and self.is_older(resource_version)",
        "return False",
    ),
    Mutant(
        "an expired version is watched again for ever",
        "reflector_machine.py",
        '            self._list_reason = "expired"\n',
        "",
    ),
    Mutant(
        "a relist starts from version 0",
        "reflector_machine.py",
        'return StreamStep("" if self._quorum else self.resource_version,',
        'return StreamStep("",',
    ),
    Mutant(
        "watches that close at once are not slowed down",
        "reflector_machine.py",
        "if self._short_watches <= 1:",
        "if self._short_watches <= 1000:",
    ),
    Mutant(
        "a stream that always has something ready holds the loop",
        "reflector.py",
        "                await asyncio.sleep(0)\n                now = clock()\n",
        "                now = clock()\n",
    ),
    Mutant(
        "success does not reset the backoff",
        "reflector_machine.py",
        "            self.resource_version = resource_version\n        self.failures = 0\n",
        "            self.resource_version = resource_version\n",
    ),
    Mutant(
        "Retry-After is ignored",
        "reflector_machine.py",
        "error.retry_after if isinstance(error, ApiError) else None",
        "None",
    ),
    Mutant(
        "an index keeps what its object has left",
        "indexer.py",
        "        if before:\n            self.remove(key)\n",
        "",
    ),
    Mutant(
        "a deleted object stays in the indexes",
        "indexer.py",
        "            for index in self._indexes.values():\n                index.remove(key)\n",
        "",
    ),
    Mutant(
        "an index that is added late forgets what is in the cache",
        "indexer.py",
        "                index.put(key, self._values(name, index, stored.view()))\n\n    def put",
        "                pass\n\n    def put",
    ),
    Mutant(
        "another object of the same name is an update",
        "cache_update.py",
        "if new.uid == old.uid:",
        "if True:",
    ),
    Mutant(
        "older news from the watch overwrite newer",
        "cache_update.py",
        "if kind is not _REPLACED and _is_older(obj, known):",
        "if False:",
    ),
    Mutant(
        "the end of an earlier object ends the present one",
        "cache_update.py",
        "if final_state_known and _is_older(obj, known):",
        "if False:",
    ),
    Mutant(
        "unchanged objects are updates",
        "cache_update.py",
        "if new.resource_version == old.resource_version and new.resource_version:",
        "if False:",
    ),
    Mutant(
        "a removed handler gets what was queued",
        "registration.py",
        "        if not self._draining:\n            self._mailbox.clear()\n",
        "",
    ),
    Mutant(
        "a handler that raises stops",
        "registration.py",
        "self._report(item, error)\n                    except asyncio",
        "self._report(item, error)\n                        return\n                    except asyncio",
    ),
    Mutant(
        "a late handler misses what is in the cache",
        "dispatcher.py",
        "listener.put([Added(obj, initial=True) for obj in self._indexer.list()])",
        "pass",
    ),
    Mutant(
        "the latest mailbox forgets the oldest old",
        "mailbox.py",
        "            return (Updated(old, new),)",
        "            return (after,)",
    ),
    Mutant(
        "what came and went unseen is told",
        "mailbox.py",
        "        case Added(), Deleted():\n            return ()\n",
        "        case Added(), Deleted():\n            return (after,)\n",
    ),
    Mutant(
        "what was observed is lost by an older list",
        "intake.py",
        "                kept[key] = obj\n        return self",
        "                pass\n        return self",
    ),
    Mutant(
        "a deletion is reached before the cache has seen the object",
        "floors.py",
        "        if progress < self.after:\n            return False\n",
        "",
    ),
    Mutant(
        "a deletion is reached while the object is still there",
        "floors.py",
        "        if cached is None or cached.uid != self.uid:\n            return True\n",
        "        return True\n",
    ),
    Mutant(
        "a write is reached by an older state",
        "floors.py",
        "version_number(cached.resource_version) >= self.version\n",
        "version_number(cached.resource_version) >= 0\n",
    ),
    Mutant(
        "a deletion forgets what was written before it",
        "floors.py",
        "after = max([write.after, *(floor.version for floor in pending if not floor.gone and floor.uid == uid)])",
        "after = write.after",
    ),
    Mutant(
        "a bookmark reaches nothing",
        "reflector.py",
        "                if not batch.events:\n                    self._on_progress()\n",
        "",
    ),
    Mutant(
        "of two answers the later counts, not the newer",
        "intake.py",
        "if known is None or _version(known) < _version(usable):",
        "if True:",
    ),
    Mutant(
        "an object that was deleted already can be observed",
        "reflector.py",
        "if not seen or version_number(obj.resource_version) <= version_number(seen):",
        "if not seen:",
    ),
)


def killed_by(mutant: Mutant) -> str | None:
    """The test that fails for a mutant, or `None` when all pass.

    Raises:
        SystemExit: the piece is not there exactly once, so the mutant says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for part in ("kinformer", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / "kinformer" / mutant.file
        source = target.read_text()
        if source.count(mutant.right) != 1:
            sys.exit(f"{mutant.name}: what it changes is {source.count(mutant.right)} times in {mutant.file}, not once")
        target.write_text(source.replace(mutant.right, mutant.wrong))
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
                return failed[0].partition(" - ")[0].removeprefix("FAILED ") if failed else done.stdout[-300:]
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
