"""Question: what does a client do when the server misbehaves? Requests caused, events lost or invented, time to notice.

    python -m benchmarks.rude_server [CLIENT ...]

Each client follows 20 ConfigMaps in a process of its own; the server (`kinformer.testing.ApiServer`, in this process)
misbehaves for eight seconds while it goes on writing, then is right again. Writes docs/reliability.md.

Its bias: the server is ours; the clients are used as their documentation has it, and a user begins again a second
after an exception; one run of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rude_clients import CLIENTS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

RUDE_SECONDS = 8.0
PATIENCE = 25.0
"""Seconds after the end of the misbehaviour in which a client may come right."""

REPORT = Path("docs/reliability.md")
PICTURE = Path("docs/img/reliability.svg")
EXPIRED = (
    b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
    b'"message":"too old resource version","reason":"Expired","code":410}}\n'
)
HTML = "<html><body><h1>503 Service Unavailable</h1>No server is available.</body></html>"


STALE_SECONDS = 40.0
"""Seconds in which a client may learn of a change while its watches bring nothing."""
FAILED = (
    b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
    b'"message":"etcd is slow","reason":"InternalError","code":500}}\n'
)


@dataclass(frozen=True)
class Scenario:
    """One way to misbehave."""

    title: str
    begin: Callable[[ApiServer], Any]
    end: Callable[[ApiServer], Any]
    why: str


def _clear(server: ApiServer) -> None:
    server.faults.clear()


def _close_at_once(server: ApiServer) -> None:
    server.faults.close_watches_at_once()
    server.faults.end_watches()


def _expire_for_ever(server: ApiServer) -> None:
    server.faults.answer_next(EXPIRED, verb="watch", count=None)
    server.faults.expire()


def _html(server: ApiServer) -> None:
    server.faults.fail_next(None, status=503, body=HTML)
    server.faults.drop_watches()


def _mid_line(server: ApiServer) -> None:
    half = b'{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"na'
    server.faults.answer_next(half, verb="watch", count=None, then="cut")
    server.faults.cut_mid_line()


def _huge_line(server: ApiServer) -> None:
    server.create(config_map("huge", blob="x" * 6_000_000))


def _half_open(server: ApiServer) -> None:
    server.faults.freeze_watches()


class _Gone:
    """A listener at the server's address that closes each connection at once, and counts them."""

    def __init__(self) -> None:
        self.attempts = 0
        self._listener: asyncio.Server | None = None

    async def begin(self, server: ApiServer) -> None:
        port = int(server.url.rsplit(":", 1)[1])
        await server.stop()
        self.attempts = 0

        def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.attempts += 1
            writer.transport.abort()

        self._listener = await asyncio.start_server(hang_up, "127.0.0.1", port)

    async def end(self, server: ApiServer) -> None:
        assert self._listener is not None
        self._listener.close()
        await self._listener.wait_closed()
        await server.start()


_gone = _Gone()


SCENARIOS = {
    "close": Scenario(
        "Each watch ends at once",
        _close_at_once,
        _clear,
        "An overloaded API server, or a proxy with a short idle limit.",
    ),
    "410": Scenario("410 Gone, again and again", _expire_for_ever, _clear, "A history that is compacted too eagerly."),
    "html": Scenario("503 with a body of HTML", _html, _clear, "A load balancer without a server behind it."),
    "midline": Scenario("The end of the file in the middle of a line", _mid_line, _clear, "A proxy that is restarted."),
    "huge": Scenario("A line of 6 MB", _huge_line, lambda _: None, "A ConfigMap or custom resource that has grown."),
    "halfopen": Scenario(
        "Half-open silence",
        _half_open,
        lambda _: None,
        "A NAT or a firewall that forgot the connection; it never comes back to life, new connections work.",
    ),
    "gone": Scenario("The server is gone for a while", _gone.begin, _gone.end, "An upgrade of the control plane."),
}


def _slow_refusal(server: ApiServer) -> None:
    server.faults.fail_next(None, status=504, verb="watch")
    server.faults.delay(2.0)
    server.faults.drop_watches()


def _refusal(server: ApiServer) -> None:
    server.faults.fail_next(None, status=403, verb="watch")
    server.faults.drop_watches()


def _error_event(server: ApiServer) -> None:
    server.faults.answer_next(FAILED, verb="watch", count=None)
    server.faults.drop_watches()


def _garbage(server: ApiServer) -> None:
    server.faults.answer_next(b"garbage\n", verb="watch", count=None)
    server.faults.drop_watches()


def _hang(server: ApiServer) -> None:
    server.faults.hang(None, verb="watch")
    server.faults.drop_watches()


def _half_an_event(server: ApiServer) -> None:
    server.faults.answer_next(FAILED[:60], verb="watch", count=None, then="hang")
    server.faults.drop_watches()


USELESS_WATCHES: dict[str, Callable[[ApiServer], None]] = {
    "refused with 504 after 2 s": _slow_refusal,
    "refused with 403": _refusal,
    "ERROR 500 at once": _error_event,
    "a line that is no JSON": _garbage,
    "accepted, never answered": _hang,
    "half an event, then silence": _half_an_event,
}
"""Ways in which watches bring nothing, while lists work."""


@dataclass
class Outcome:
    """The outcome of one client in one scenario."""

    requests_per_second: float = 0.0
    noticed_after: float | None = None
    right_after: float | None = None
    lost: int = 0
    invented: int = 0
    trouble: str = ""
    synced: bool = True


@dataclass
class Heard:
    """The output of a client."""

    state: dict[str, str] = field(default_factory=dict)
    states: set[tuple[str, str]] = field(default_factory=set)
    odd: list[str] = field(default_factory=list)
    troubles: list[tuple[float, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, stream: asyncio.StreamReader) -> None:
        """Read the output, to its end."""
        clock = asyncio.get_running_loop().time
        async for line in stream:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if "state" in said:
                    self.state = said["state"]
                    self.states.update(self.state.items())
                elif "odd" in said:
                    self.odd.append(said["odd"])
                elif "trouble" in said:
                    self.troubles.append((clock(), said["trouble"]))
                self.changed.set()

    async def until_state_is(self, wanted: Callable[[], dict[str, str]], timeout: float) -> bool:
        """Wait until it holds what the server holds; whether it does in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.state != wanted():
                    self.changed.clear()
                    await self.changed.wait()
        return self.state == wanted()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def versions(server: ApiServer) -> dict[str, str]:
    return {
        manifest["metadata"]["name"]: manifest["metadata"]["resourceVersion"]
        for manifest in server.list("v1", "ConfigMap", "default")
    }


@contextlib.asynccontextmanager
async def running(name: str, url: str) -> AsyncIterator[Heard]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.rude_clients", name, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 26,
    )
    heard = Heard()
    assert process.stdout is not None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(heard.listen(process.stdout))
        try:
            yield heard
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def measure(client: str, scenario: Scenario) -> Outcome:
    """Put one client through one scenario."""
    outcome = Outcome()
    clock = asyncio.get_running_loop().time
    existed: set[tuple[str, str]] = set()
    async with ApiServer() as server:
        for number in range(20):
            server.create(config_map(f"cm-{number:02}", v="0"))
        existed.update(versions(server).items())
        async with running(client, server.url) as heard:
            outcome.synced = await heard.until_state_is(lambda: versions(server), 20)
            await asyncio.sleep(1)
            heard.troubles.clear()
            before = len(server.requests)
            began = clock()
            await _done(scenario.begin(server))
            count = 0
            while clock() - began < RUDE_SECONDS:
                count += 1
                server.patch("v1", "ConfigMap", f"cm-{count % 10:02}", {"data": {"v": str(count)}})
                if count == 3:
                    server.delete("v1", "ConfigMap", "cm-19")
                if count == 5:
                    server.create(config_map("new"))
                existed.update(versions(server).items())
                await asyncio.sleep(0.25)
            sent = _gone.attempts if scenario.begin == _gone.begin else len(server.requests) - before
            outcome.requests_per_second = sent / RUDE_SECONDS
            await _done(scenario.end(server))
            ended = clock()
            server.create(config_map("after"))
            existed.update(versions(server).items())
            if await heard.until_state_is(lambda: versions(server), PATIENCE):
                outcome.right_after = clock() - ended
            final = versions(server)
            outcome.lost = sum(heard.state.get(name) != version for name, version in final.items())
            outcome.lost += sum(name not in final for name in heard.state)
            outcome.invented = len(heard.odd) + sum(state not in existed for state in heard.states)
            if heard.troubles:
                outcome.noticed_after = heard.troubles[0][0] - began
                outcome.trouble = heard.troubles[0][1]
    return outcome


async def known_after(client: str, begin: Callable[[ApiServer], None]) -> float | None:
    """Return the seconds from a change until a client knows it while watches bring nothing; `None` if it does not."""
    clock = asyncio.get_running_loop().time
    async with ApiServer() as server:
        for number in range(20):
            server.create(config_map(f"cm-{number:02}", v="0"))
        async with running(client, server.url) as heard:
            await heard.until_state_is(lambda: versions(server), 20)
            await asyncio.sleep(1)
            begin(server)
            await asyncio.sleep(1)
            server.patch("v1", "ConfigMap", "cm-07", {"data": {"v": "changed"}})
            changed = clock()
            known = await heard.until_state_is(lambda: versions(server), STALE_SECONDS)
            return clock() - changed if known else None


async def measure_useless_watches(clients: Iterable[str]) -> dict[str, dict[str, float | None]]:
    """Put each client before watches that bring nothing, of all forms at once."""
    found: dict[str, dict[str, float | None]] = {}
    for client in clients:
        times = await asyncio.gather(*(known_after(client, begin) for begin in USELESS_WATCHES.values()))
        found[client] = dict(zip(USELESS_WATCHES, times, strict=True))
        shown = "  ".join(f"{form}: {_seconds(time, 'never')}" for form, time in found[client].items())
        print(f"  {CLIENTS[client][0]:<34} {shown}", flush=True)
    return found


def useless_watches(found: dict[str, dict[str, float | None]]) -> str:
    """Return the section about watches that bring nothing."""
    lines = [
        "## Watches that bring nothing, while lists work",
        "",
        f"An object changes when watches fail. Time until the client knows it, of {STALE_SECONDS:g} s at most.",
        "",
        f"| client | {' | '.join(USELESS_WATCHES)} |",
        f"|---|{'--:|' * len(USELESS_WATCHES)}",
    ]
    for client, times in found.items():
        cells = (_seconds(times[form], "never") for form in USELESS_WATCHES)
        lines.append(f"| {CLIENTS[client][0]} | {' | '.join(cells)} |")
    lines += [
        "",
        "The watches of before are cut at the same moment, so a client that lists anew after each end of a watch has",
        "the change at once, also where its next watch is never answered.",
    ]
    return "\n".join([*lines, ""])


async def _done(result: Any) -> None:
    if result is not None:
        await result


def _seconds(value: float | None, never: str) -> str:
    return never if value is None else f"{value:.1f} s"


def report(outcomes: dict[str, dict[str, Outcome]], useless: dict[str, dict[str, float | None]]) -> str:
    """The page."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("kinformer", "kubernetes_asyncio", "kubernetes", "lightkube", "kr8s")
    )
    lines = [
        f"""# Reliability

The behaviour of kinformer and its Python peers in front of the same misbehaving server, measured by
`python -m benchmarks.rude_server`, which writes this page. Each client follows 20 ConfigMaps in its own process.
The server misbehaves for {RUDE_SECONDS:g} seconds and writes four times a second meanwhile; then it is right again.

- **Requests/s**: that the client sends while the server misbehaves; without a server, connections that it opens.
- **Reported**: time until its user can know of the trouble: an exception, an error callback or a warning in the log.
- **Right again**: time after the end until the client's state equals the server's, within {PATIENCE:g} s.
- **Lost**: objects of which it had the wrong state then.
- **Invented**: events or states that it delivered and that never existed.

![Requests per second while each watch ends at once]({PICTURE.relative_to("docs")})
"""
    ]
    for name, rows in outcomes.items():
        scenario = SCENARIOS[name]
        lines += [f"## {scenario.title}", "", scenario.why, ""]
        lines += ["| client | requests/s | reported | right again | lost | invented |", "|---|--:|--:|--:|--:|--:|"]
        for client, outcome in rows.items():
            told, right = (_seconds(value, "never") for value in (outcome.noticed_after, outcome.right_after))
            counts = f"{outcome.lost} | {outcome.invented}"
            lines.append(f"| {CLIENTS[client][0]} | {outcome.requests_per_second:.1f} | {told} | {right} | {counts} |")
        lines.append("")
    lines.append(useless_watches(useless))
    lines += [
        f"""## How it was measured

{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {packages}.
One run of each. Times vary by tenths of a second between runs, and by seconds where a client waits for a pause of
random length. The requests of a client that does not wait vary with the machine: here {os.cpu_count()} processors, and
a load of {os.getloadavg()[2]:.0f}. The server is kinformer's own `testing.ApiServer`. The clients are used as their
documentation has it (`benchmarks/rude_clients.py`); where a stream ends by an exception, the user is taken to list and
watch again after one second. kinformer's watches last 5 to 10 seconds (`watch_seconds=5`; by default 300 to 600), which
bounds how long a half-open connection can go unnoticed; its pauses between tries grow to 30 seconds, which is why it
may be right again some seconds later than a client that never pauses.
"""
    ]
    return "\n".join(lines)


def with_kept_sections(page: str, before: str) -> str:
    """Return a new page with the sections of the old one that are not measured here."""
    kept = re.findall(
        r"^## (?:An overloaded server|How old the cache).*?(?=^## )", before, flags=re.DOTALL | re.MULTILINE
    )
    return page.replace("## How it was measured", "".join(kept) + "## How it was measured")


def draw(outcomes: dict[str, Outcome]) -> None:
    """The requests per second of the first scenario, as bars on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kinformer"
    from matplotlib import pyplot as plt

    names = [CLIENTS[client][0] for client in outcomes]
    values = [max(outcome.requests_per_second, 0.1) for outcome in outcomes.values()]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(names) + 1.2), layout="constrained")
    bars = axes.barh(
        names[::-1], values[::-1], color=["#2f6fde" if n == "kinformer" else "#b9bfca" for n in names[::-1]]
    )
    axes.set_xscale("log")
    axes.set_xlabel("requests per second while each watch ends at once; a logarithmic scale")
    axes.bar_label(bars, labels=[f"{value:,.1f}" for value in values[::-1]], padding=4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


async def measure_all(chosen: list[str]) -> dict[str, dict[str, Outcome]]:
    """Put each client through each scenario."""
    outcomes: dict[str, dict[str, Outcome]] = {}
    for name, scenario in SCENARIOS.items():
        print(scenario.title)
        outcomes[name] = {}
        for client in chosen or CLIENTS:
            outcome = outcomes[name][client] = await measure(client, scenario)
            told, right = (_seconds(value, "never") for value in (outcome.noticed_after, outcome.right_after))
            print(
                f"  {CLIENTS[client][0]:<34} {outcome.requests_per_second:8.1f} requests/s"
                f"  reported {told:>7}  right again {right:>7}"
                f"  lost {outcome.lost:>2}  invented {outcome.invented:>4}  {'' if outcome.synced else 'NEVER SYNCED '}"
                f"{outcome.trouble[:60]}",
                flush=True,
            )
    return outcomes


def main(chosen: list[str]) -> None:
    outcomes = asyncio.run(measure_all(chosen))
    useless = asyncio.run(measure_useless_watches(chosen or CLIENTS))
    if not chosen:
        REPORT.write_text(with_kept_sections(report(outcomes, useless), REPORT.read_text()))
        draw(outcomes["close"])
        print(f"wrote {REPORT} and {PICTURE}")


if __name__ == "__main__":
    main(sys.argv[1:])
