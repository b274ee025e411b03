"""The figures in README's section "Cost", written from the results; a table without results stays as it is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import results
from benchmarks.handlers import HANDLERS

if TYPE_CHECKING:
    from benchmarks.results import Answer
    from benchmarks.table import Row

__all__ = ["README", "with_figures"]

README: Final = Path("README.md")

_SECTIONS: Final = ("handlers", "clients", "loop")

_READS: Final = (
    ('`obj["status"]["phase"]`, and an index `obj["spec"]["nodeName"]`', ("status",)),
    ("the same two by `at`, as declared paths", ("declared",)),
    ("conditions, owner and node, from three sections", ("three",)),
    ("`obj.to_dict()`", ("to_dict",)),
    ("a typed informer, a class of ten fields", ("typed",)),
    ("`Controller.owns`; `generation_changed`; `annotations_changed`", ("owns", "generation", "annotations")),
    ("the name only", ("names",)),
    ('`obj["status"]["phase"]` and the index, compact storage', ("compact",)),
)
"""What the handler reads, and the handlers of `benchmarks.handlers` that do so."""

_CLIENTS: Final = {
    "kinformer": "**kinformer**: cache, index and a handler",
    "client-go, protobuf": "client-go, protobuf",
    "client-go, JSON": "client-go, JSON",
    "lightkube, watch": "lightkube, watch",
    "kubernetes_asyncio, Watch": "kubernetes_asyncio, `Watch`",
    "kubernetes, SharedInformer": "kubernetes, `SharedInformer`",
}


def with_figures(readme: str, answers: dict[str, Answer]) -> str:
    """Return the text of README with the present figures between its marks."""
    made = {"handlers": _handlers(answers), "clients": _clients(answers), "loop": _loop(answers)}
    for name in _SECTIONS:
        before, begin, rest = readme.partition(f"<!-- {name}: written by make bench -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            msg = f"README.md has no marks of the figures {name!r}"
            raise ValueError(msg)
        if made[name]:
            readme = f"{before}{begin}{made[name]}\n{end}{after}"
    return readme


def _numbers(answer: Answer | None, series: str = "") -> dict[str, float]:
    rows: list[Row] = answer.rows if answer is not None else []
    return {row.what: row.number for row in rows if row.number is not None and row.series == series}


def _table(*rows: tuple[str, ...]) -> list[str]:
    head, *others = rows
    rule = ("---", *("--:" for _ in head[1:]))
    return [
        "| " + " | ".join(row) + " |" if row is not rule else "|" + "|".join(row) + "|" for row in (head, rule, *others)
    ]


def _handlers(answers: dict[str, Answer]) -> str:
    """Handlers as people write them, beside client-go."""
    answer = answers.get("handlers")
    costs = _numbers(answer)
    rival = next((cost for what, cost in costs.items() if what.startswith("client-go")), None)
    if answer is None or rival is None:
        return ""
    rows = [("the handler reads", "CPU per event", "of client-go")]
    for what, names in _READS:
        found = [costs[HANDLERS[name][0]] for name in names if HANDLERS[name][0] in costs]
        if len(found) == len(names):
            ratios = "; ".join(f"{cost / rival:.2f}" for cost in found)
            rows.append((what, "; ".join(f"{cost:.0f}" for cost in found) + " µs", ratios))
    alone = _alone(answers.get("sparse"))
    if alone:
        rows.append(alone)
    text = (
        "CPU time of a watch event for a pod of 9 KB from a real API server, beside client-go with protobuf, whose "
        f"handler reads the same ({rival:.0f} µs); {answer.at} UTC, {results.machine()} "
        "([all figures, methods and biases](docs/benchmarks.md)):"
    )
    return "\n".join([_wrapped(text), "", *_table(*rows)])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 130, break_long_words=False, break_on_hyphens=False)


def _alone(answer: Answer | None) -> tuple[str, str, str] | None:
    """The row of events that come one at a time."""
    costs = _numbers(answer)
    rival = next((cost for what, cost in costs.items() if what.startswith("100 ") and "client-go" in what), None)
    cost = next((cost for what, cost in costs.items() if what.startswith("100 ") and "reads" in what), None)
    if cost is None or rival is None:
        return None
    return "the first row, events one at a time, 100 a second", f"{cost:.0f} µs", f"{cost / rival:.2f}"


def _clients(answers: dict[str, Answer]) -> str:
    """All clients, with a handler that looks at names."""
    answer = answers.get("peers")
    watch, sync, held = (_numbers(answer, series) for series in ("watch", "sync", "held"))
    rows = [("", "per watch event", "per object of the first list", "held per object")]
    for name, what in _CLIENTS.items():
        if name in watch and name in sync and name in held:
            kept = f"{held[name] / 1e3:.0f} kB"
            if name == "kinformer" and (compact := held.get("kinformer, compact storage")):
                kept += f", or {compact / 1e3:.1f} kB compact"
            rows.append((what, f"{watch[name]:,.0f} µs", f"{sync[name]:,.0f} µs", kept))
    if len(rows) < 2:
        return ""
    limit = _numbers(answers.get("ingest")).get("… of the scan limit")
    after = ["", f"An event costs {limit:.1f} times as much as merely skipping over its bytes."] if limit else []
    return "\n".join([*_table(*rows), *after])


def _loop(answers: dict[str, Answer]) -> str:
    """For how long the loop is held."""
    held = _numbers(answers.get("stall"))

    def longest(*words: str) -> float | None:
        return max(
            (held[what] for what in held if "longest" in what and all(word in what for word in words)), default=None
        )

    one = max((held[what] for what in held if "longest" in what and "handlers" not in what and "informers" not in what),
              default=None)  # fmt: skip
    many, informers = longest(" handlers read"), longest(" informers")
    if one is None:
        return ""
    text = f"The loop is held for {one:.0f} ms at most while 50,000 objects and 100,000 events arrive"
    others = [
        f"{number:.0f} ms {how}"
        for number, how in ((many, "with 100 handlers"), (informers, "with 200 busy informers"))
        if number is not None
    ]
    return _wrapped(
        text + (f" ({', '.join(others)})" if others else "") + ", so it can be your web server's loop, too."
    )
