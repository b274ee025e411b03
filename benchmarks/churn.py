"""Question: does the memory of a program grow under churn, and does it come back?

20,000 recorded pods (8.9 KB), with four rounds of 20,000 updates that change the size of each object by up to 2 KB;
then a relist in which 90 % are gone, and 5 seconds. Resident memory of a process of its own, with a handler that looks
at names, and with one that reads `status.phase` beside an index on `spec.nodeName`.

Its bias: no network, so no buffers of one; the memory of the source itself is subtracted.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.objects import Memory, pods
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from kinformer.events import Event

OBJECTS: Final = 20_000
ROUNDS: Final = 4
SETTLING: Final = 5.0  # seconds


def resident() -> float:
    """Resident memory in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


async def measure(objects: int, *, reads: bool) -> dict[str, list[float]]:
    """MB above those before the informer: "rounds", of which the first is after the sync, and "after" the deletions."""
    chance = random.Random(7)
    source = Memory(pods(objects))
    before = resident()
    seen = 0

    def handler(event: Event) -> None:
        nonlocal seen
        seen += 1
        if reads:
            assert event.source["status"]["phase"]

    async with SharedInformer(source) as informer:
        if reads:
            informer.add_indexers({"node": lambda pod: [pod["spec"].get("nodeName", "")]})
        informer.add_event_handler(handler)
        await informer.synced()
        await source.watched.wait()
        await asyncio.sleep(1)
        found = [resident() - before]
        version = 30_000_000
        for _ in range(ROUNDS):
            wanted = seen + objects
            for start in range(0, objects, 100):
                raws = []
                for number in range(start, start + 100):
                    version += 1
                    marked = b'"resourceVersion":"%d","ballast":"%s"' % (version, b"x" * chance.randrange(2000))
                    head, _, rest = source.raws[number].partition(b'"resourceVersion":"')
                    raws.append(head + marked + rest[rest.index(b'"') + 1 :])
                source.send(raws)
                await asyncio.sleep(0.001)
            while seen < wanted:
                await asyncio.sleep(0.01)
            found.append(resident() - before)
        kept = source.raws  # the source's own memory stays as it was
        source.raws = source.raws[: objects // 10]
        source.version = version + 1
        await informer.relist(timeout=60)
        await asyncio.sleep(SETTLING)
        after = [resident() - before]
        assert len(kept) == objects
        return {"rounds": found, "after": after}


def _apart(objects: int, *, reads: bool) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "benchmarks.churn", str(objects), "reads" if reads else "names"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> list[Row]:
    """Rows of both handlers."""
    objects = OBJECTS // 5 if is_quick() else OBJECTS
    step(0, 2, "names")
    names = _apart(objects, reads=False)
    step(1, 2, "reads")
    reads = _apart(objects, reads=True)
    rows = []
    for what, found in (("names", names), ("status and an index on spec", reads)):
        rounds = ", ".join(f"{value:.0f}" for value in found["rounds"])
        rows.append(Row(f"the handler reads {what}: MB after the sync and each round", rounds))
        growth = found["rounds"][-1] / max(found["rounds"][1], 1.0)
        rows.append(Row("… the last round, of the first", f"{growth:.2f} ×", "≤ 1.05 ×", growth <= 1.05, growth))
        freed = 1 - found["after"][0] / found["rounds"][-1]
        rows.append(Row("… given back after 90 % are deleted", f"{freed:.0%}", "≥ 80 %", freed >= 0.8, freed))
    ratio = reads["rounds"][-1] / names["rounds"][-1]
    rows.append(Row("memory of the one that reads, of the other", f"{ratio:.2f} ×", "≤ 1.2 ×", ratio <= 1.2, ratio))
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(measure(int(sys.argv[1]), reads=sys.argv[2] == "reads"))))
    else:
        print(__doc__)
        print(plain(main()))
