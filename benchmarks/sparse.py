"""Question: how much does an event cost that comes alone, ten or a hundred times a second?

Most clusters send events one at a time, so that nothing can be shared among the events of a batch, and the processor
has forgotten the program in between. Updates of recorded pods (8.9 KB) are sent at a fixed pace, one at a time: CPU
time of the process per event, user and system, the least of three interleaved runs. "Names" and "reads" are the
handlers `names` and `status` of the question `handlers`; beside them is client-go with protobuf, with a handler and an
index that read.

Its bias: the pauses are equally long, and the loop has nothing else to do.
"""

from __future__ import annotations

import sys
import urllib.request
from typing import Final

from benchmarks.api_replay import serving
from benchmarks.handlers import least_of
from benchmarks.peers import go
from benchmarks.peers.measurement import WARM_UP
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain

OBJECTS: Final = 500
PACES: Final = {10: 50, 100: 500}
"""Events per second, and the number of events."""

ROUNDS: Final = 3
TARGET: Final = 0.7


def main() -> list[Row]:
    """Rows by pace and handler."""
    rounds = 1 if is_quick() else ROUNDS
    total = int(max(PACES.values()) * (1 + WARM_UP)) + 1
    try:
        program, encoded, why = go.built(), go.encoded(OBJECTS, total), ""
    except go.MissingError as error:
        program, encoded, why = None, None, str(error)
    rows: list[Row] = []
    with serving(OBJECTS, total, encoded) as url:
        for place, (pace, events) in enumerate(PACES.items()):
            runs = {
                name: [sys.executable, "-m", "benchmarks.handlers", name, url, str(OBJECTS), str(events)]
                for name in ("names", "status")
            }
            if program is not None:
                run = [str(program), "informer", "-url", url, "-encoding", "protobuf", "-objects", str(OBJECTS)]
                runs["client-go"] = [*run, "-events", str(events), "-warm-up", str(int(events * WARM_UP)), "-reads"]

            def prepared(pace: int = pace) -> None:
                with urllib.request.urlopen(f"{url}/replay/reset?objects={OBJECTS}&rate={pace}") as answer:
                    answer.read()

            step(place, len(PACES), f"{pace} events a second")
            costs = least_of(runs, rounds, prepared)
            rival = costs.pop("client-go", None)
            for name, cost in costs.items():
                what = f"{pace} events a second, the handler {'reads' if name == 'status' else 'looks at names'}"
                beside = f", {cost / rival:.2f} × client-go" if rival else ""
                reached = cost <= TARGET * rival if rival else None
                rows.append(Row(what, f"{cost:.0f} µs{beside}", f"≤ {TARGET:g} × client-go", reached, cost))
            if rival:
                rows.append(Row(f"{pace} events a second, client-go, protobuf", f"{rival:.0f} µs", number=rival))
    if why:
        rows.append(Row(f"client-go not measured: {why}", ""))
    return rows


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
