"""Question: what does importing kinformer cost?

CPU time and resident memory of new processes, the best of five, beside its own dependencies and beside
kubernetes_asyncio's client. Its bias: the files are in the page cache.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.table import Row, plain

PROGRAM = """
import sys
sys.path.insert(0, '')
import time
began = time.process_time()
{statement}
cost = time.process_time() - began
import resource
print(cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def cost(statement: str) -> tuple[float, float]:
    """CPU milliseconds, and megabytes."""
    found = []
    for _ in range(5):
        run = [sys.executable, "-c", PROGRAM.format(statement=statement)]
        seconds, kilobytes = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
        found.append((float(seconds) * 1e3, float(kilobytes) / 1e3))
    return min(ms for ms, _ in found), min(mb for _, mb in found)


def main() -> list[Row]:
    base = cost("import aiohttp, msgspec")
    bare = cost("import kinformer")
    used = cost("from kinformer import Client, SharedInformerFactory")
    peer = cost("import kubernetes_asyncio.client")
    time_ratio, memory_ratio = bare[0] / base[0], bare[1] / base[1]
    return [
        Row("import aiohttp, msgspec", f"{base[0]:.0f} ms, {base[1]:.0f} MB"),
        Row("import kinformer", f"{bare[0]:.0f} ms, {bare[1]:.0f} MB", "≤ ½ of the last row", bare[0] <= peer[0] / 2),
        Row("… of aiohttp and msgspec, time", f"{time_ratio:.2f} ×", "≤ 1.2 ×", time_ratio <= 1.2),
        Row("… of aiohttp and msgspec, memory", f"{memory_ratio:.2f} ×", "≤ 1.2 ×", memory_ratio <= 1.2),
        Row("from kinformer import Client, SharedInformerFactory", f"{used[0]:.0f} ms, {used[1]:.0f} MB"),
        Row("import kubernetes_asyncio.client", f"{peer[0]:.0f} ms, {peer[1]:.0f} MB"),
    ]


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
