"""`kinformer top`: the informers, controllers and fleets of a running program, live, from its status endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from kinformer._display.columns import human_duration, printable
from kinformer.cli._session import UsageProblem, ending_with_reader, print_error, write
from kinformer.cli._simulated.plain import aligned
from kinformer.cli._units import byte_size
from kinformer.errors import ConnectError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

__all__ = ["Row", "rows_of", "top"]

STATUS_PATH: Final = "/kinformer/status"
_TIMEOUT: Final = 5.0
_SILENT: Final = 660.0  # a watch without events is renewed every 5 to 10 minutes
_BEHIND: Final = 30.0
_HANGS: Final = 600.0
_SIZE: Final = (118, 24)


class Row(NamedTuple):
    """The text of one informer, controller or cluster.

    Attributes:
        cells: the texts, in the order of `TITLES`, `CONTROLLER_TITLES` or `CLUSTER_TITLES`.
        level: "good", "busy" or "bad".
        trouble: the problem, in words; "" if there is none.
    """

    cells: tuple[str, ...]
    level: str
    trouble: str


TITLES: Final = (
    "INFORMER",
    "STATE",
    "OBJECTS",
    "STORED",
    "EVENTS/S",
    "EVENTS",
    "LISTS",
    "WATCHES",
    "SILENT",
    "WAITING",
    "ERRORS",
)
_NUMBERS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 10)
CONTROLLER_TITLES: Final = (
    *("CONTROLLER", "STATE", "QUEUED", "WORKING", "LONGEST", "DELAYED", "RECONCILES/S", "RECONCILES", "ERRORS"),
)
_CONTROLLER_NUMBERS: Final = (2, 3, 4, 5, 6, 7, 8)
CLUSTER_TITLES: Final = (
    *("CLUSTER", "STATE", "OBJECTS", "INFORMERS", "EVENTS/S", "QUEUED", "WORKING", "RECONCILES/S", "RECONCILES"),
    "FAILING",
)
_CLUSTER_NUMBERS: Final = (2, 3, 4, 5, 6, 7, 8, 9)
_LEAST_IMPORTANT: Final = (
    *("INFORMERS", "STORED", "LISTS", "EVENTS", "WATCHES", "DELAYED", "RECONCILES", "EVENTS/S", "RECONCILES/S"),
    *("LONGEST", "SILENT", "WAITING", "WORKING", "ERRORS", "FAILING", "QUEUED", "OBJECTS"),
)
"""The columns in the order in which a narrow terminal loses them."""
_URGENCY: Final = ("bad", "busy", "good")
_CLUSTER_LEVELS: Final = {
    **dict.fromkeys(("invalid", "unreachable", "degraded", "failed"), "bad"),
    **dict.fromkeys(("connecting", "syncing", "duplicate", "leaving"), "busy"),
}
"""How urgent the state of a cluster is; states that are not here are good."""
_GAP: Final = 2  # between two columns
_MOST_BYTES: Final = 64 << 20
_COLORS: Final = {"good": "green", "busy": "yellow", "bad": "red"}


async def top(url: str, *, every: float, once: bool, picture: Path | None = None) -> int:
    """Show the status repeatedly until cancelled; once if standard output is no terminal.

    Args:
        url: the URL of the program; without a path, the status is at /kinformer/status.
        every: seconds between two requests.
        once: show the status once.
        picture: a file for a picture (SVG) of the second answer; the command then ends.
    """
    where = _status_url(url)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
        before = await _ask(session, where)
        if once or not (sys.stdout.isatty() or picture):
            write(plain(before, None, every))
            return 0
        from rich.console import Console
        from rich.live import Live

        if picture is not None:
            await asyncio.sleep(every)
            _draw_to(picture, _screen(where, await _ask(session, where), before, every, "", _SIZE[0]))
            return 0
        console = Console()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        with (
            ending_with_reader(task.cancel),
            Live(
                _screen(where, before, None, every, "", console.width), console=console, screen=True, auto_refresh=False
            ) as live,
        ):
            looked = loop.time()
            while True:
                await asyncio.sleep(every)
                try:
                    now = await _ask(session, where)
                except (ConnectError, ProtocolError) as error:
                    # The last status stays on the screen, below the error.
                    live.update(_screen(where, before, None, every, str(error), console.width), refresh=True)
                    continue
                seconds, looked = loop.time() - looked, loop.time()
                live.update(_screen(where, now, before, seconds, "", console.width), refresh=True)
                before = now


def _status_url(url: str) -> str:
    """Return the URL of the status, completed from the given part."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{url!r} is no URL of a program; expected one such as http://127.0.0.1:8765"
        raise UsageProblem(msg)
    return urlunsplit(parts if parts.path.strip("/") else parts._replace(path=STATUS_PATH))


async def _ask(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > _MOST_BYTES:
                    msg = f"{url} answers with more than {_MOST_BYTES >> 20} MiB, which is no status of kinformer"
                    raise ProtocolError(msg)
    except TimeoutError as error:
        msg = f"{url} did not answer within {_TIMEOUT:g} seconds"
        raise ConnectError(msg) from error
    except aiohttp.ClientError as error:
        msg = f"{url} does not answer: {error}"
        raise ConnectError(msg) from error
    if answer.status != 200:
        msg = (
            f"{url} answers {answer.status}; the program serves its status with kinformer.integrations.status_endpoint"
        )
        raise ProtocolError(msg)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        data: dict[str, Any] = msgspec.json.decode(body)
        # Whatever it lacks shows here, and not in the middle of a picture.
        rows_of(data, data, 1.0)
        controllers_of(data, data, 1.0)
        clusters_of(data, data, 1.0)
        return data
    msg = f"{url} answers with no status of kinformer"
    raise ProtocolError(msg)


def rows_of(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> list[Row]:
    """Return a row for each informer; rates are those since the answer before."""
    earlier = {} if before is None else {informer["name"]: informer["events"] for informer in before["informers"]}
    return [_row(informer, earlier.get(informer["name"]), seconds) for informer in now["informers"]]


def _row(informer: dict[str, Any], events_before: int | None, seconds: float) -> Row:
    silent = informer["silent_seconds"]
    waiting = sum(handler["waiting"] for handler in informer["handlers"])
    behind = max((handler["behind_seconds"] for handler in informer["handlers"]), default=0.0)
    rate = _rate(informer["events"], events_before, seconds)
    trouble, level = "", "good"
    if informer["health"] in {"failing", "ended"}:
        level, trouble = "bad", str(informer["last_error"])
        if informer["retry_in_seconds"] is not None:
            trouble += f"; next try in {informer['retry_in_seconds']:.1f} s"
    elif behind > _BEHIND:
        slowest = max(informer["handlers"], key=lambda handler: float(handler["behind_seconds"]))
        level, trouble = "busy", f"handler {slowest['name']} has been behind for {human_duration(behind)}"
    elif silent is not None and silent > _SILENT:
        level, trouble = "bad", f"no answer from the API server for {human_duration(silent)}"
    elif not informer["synced"]:
        level, trouble = "busy", f"listing: {informer['listed']} objects so far"
    elif informer.get("sharding") == "here":
        trouble = (
            "the API server does not filter the shard; "
            f"{informer['foreign_events']} objects and events of other shards came"
        )
    cells = (
        *(informer["name"], informer["state"], informer["objects"], byte_size(informer["stored_bytes"]), rate),
        informer["events"],
        *(sum(informer["lists"].values()), informer["watches"]),
        "" if silent is None else human_duration(silent),
        *(waiting, sum(informer["errors"].values())),
    )
    return Row(tuple(printable(str(cell)) for cell in cells), level, printable(trouble))


def controllers_of(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> list[Row]:
    """Return a row for each controller; the rate is that of its reconciles."""
    earlier = {} if before is None else {each["name"]: sum(each["results"].values()) for each in before["controllers"]}
    return [_controller(each, earlier.get(each["name"]), seconds) for each in now["controllers"]]


def _controller(controller: dict[str, Any], before: int | None, seconds: float) -> Row:
    results = controller["results"]
    done = sum(results.values())
    longest = controller["longest_seconds"]
    trouble, level = "", "good"
    if controller["failing"]:
        level, trouble = "bad", f"{controller['failing']} keys fail, the last with {controller['last_error']}"
    elif longest > _HANGS:
        level, trouble = "busy", f"a reconcile has been under way for {human_duration(longest)}"
    cells = (
        *(controller["name"], controller["state"], controller["queued"]),
        f"{controller['working']}/{controller['workers']}",
        human_duration(longest) if controller["working"] else "",
        *(controller["delayed"], _rate(done, before, seconds), done, results.get("error", 0)),
    )
    return Row(tuple(printable(str(cell)) for cell in cells), level, printable(trouble))


def clusters_of(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> list[Row]:
    """Return a row for each cluster of each fleet, those in trouble first, and one for a provider that fails."""
    earlier = {} if before is None else dict(_named(before))
    rows = [_cluster(name, cluster, earlier.get(name), seconds) for name, cluster in _named(now)]
    failing = [_provider(fleet) for fleet in now["fleets"] if fleet["provider_error"] or fleet["refused"]]
    return [*failing, *sorted(rows, key=lambda row: _URGENCY.index(row.level))]


def _named(status: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the clusters; if there are several fleets, their names stand before the names of the clusters."""
    fleets = status["fleets"]
    return [
        (cluster["name"] if len(fleets) == 1 else f"{fleet['name']}/{cluster['name']}", cluster)
        for fleet in fleets
        for cluster in fleet["clusters"]
    ]


def _cluster(name: str, cluster: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> Row:
    state = cluster["state"]
    level, trouble = _CLUSTER_LEVELS.get(state, "good"), ""
    if state == "duplicate":
        trouble = f"the same cluster has joined as {cluster['same_as']}"
    elif level == "bad":
        trouble = f"{state} for {human_duration(cluster['state_seconds'])}: {cluster['last_error']}"
        if cluster["retry_in_seconds"] is not None:
            trouble += f"; next try in {cluster['retry_in_seconds']:.1f} s"
    elif cluster["failing"]:
        level, trouble = "bad", f"{cluster['failing']} keys fail"
    cells = (
        *(name, state, cluster["objects"], cluster["informers"]),
        _rate(cluster["events"], None if before is None else before["events"], seconds),
        *(cluster["queued"], cluster["working"]),
        _rate(cluster["reconciles"], None if before is None else before["reconciles"], seconds),
        *(cluster["reconciles"], cluster["failing"]),
    )
    return Row(tuple(printable(str(cell)) for cell in cells), level, printable(trouble))


def _provider(fleet: dict[str, Any]) -> Row:
    """Return a row of a provider that fails, or that names clusters which cannot be used."""
    error, refused = fleet["provider_error"], fleet["refused"]
    trouble = f"the provider fails: {error}" if error else f"clusters that cannot be used: {', '.join(refused)}"
    cells = (f"fleet {fleet['name']}", "failing" if error else "refused", *[""] * (len(CLUSTER_TITLES) - 2))
    return Row(tuple(printable(cell) for cell in cells), "bad", printable(trouble))


def _rate(now: int, before: int | None, seconds: float) -> str:
    """Return events per second; 0 after a restart of the program, "" without an earlier answer."""
    return "" if before is None else f"{max(now - before, 0) / seconds:.1f}"


def plain(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> str:
    """Return the status as lines of text."""
    tables = _tables(now, before, seconds)
    lines: list[str] = []
    for table in tables:
        lines += ["", *aligned([table.titles, *(row.cells for row in table.rows)], numbers=table.numbers)]
    lines += [f"! {row.cells[0]}: {row.trouble}" for table in tables for row in table.rows if row.trouble]
    return "".join(f"{line}\n" for line in lines[1:])


class _Rows(NamedTuple):
    """One table of the screen."""

    titles: tuple[str, ...]
    numbers: tuple[int, ...]
    rows: list[Row]


def _tables(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> list[_Rows]:
    """Return the tables that have rows; if none has, that of informers."""
    informers = _Rows(TITLES, _NUMBERS, rows_of(now, before, seconds))
    tables = [
        informers,
        _Rows(CONTROLLER_TITLES, _CONTROLLER_NUMBERS, controllers_of(now, before, seconds)),
        _Rows(CLUSTER_TITLES, _CLUSTER_NUMBERS, clusters_of(now, before, seconds)),
    ]
    return [table for table in tables if table.rows] or [informers]


def _screen(
    url: str, now: dict[str, Any], before: dict[str, Any] | None, seconds: float, wrong: str, width: int
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    tables = _tables(now, before, seconds)
    rows = [row for table in tables for row in table.rows]
    clusters = [cluster for _, cluster in _named(now)]
    objects = sum(each["objects"] for each in (*now["informers"], *clusters))
    bad = sum(row.level == "bad" for row in rows)
    head = Text.assemble(
        ("kinformer top", "bold"),
        (f"  {printable(url)}   kinformer {printable(str(now.get('kinformer', '?')))}   ", "dim"),
        f"{len(now['informers']) + sum(cluster['informers'] for cluster in clusters)} informers, {objects:,} objects, ",
        f"{len(clusters)} clusters, " if now["fleets"] else "",
        (f"{bad} in trouble", "red") if bad else ("all well", "green"),
    )
    parts: list[RenderableType] = [head, Text(printable(wrong), style="bold red") if wrong else Text("")]
    for place, table in enumerate(tables):
        if place:
            parts.append(Text(""))
        parts.append(_table(table.titles, table.numbers, table.rows, width))
    troubles = [row for row in rows if row.trouble]
    if troubles:
        parts.append(Text(""))
    parts += [Text(f"! {row.cells[0]}: {row.trouble}", style=_COLORS[row.level]) for row in troubles]
    return Group(*parts)


def columns_that_fit(titles: Sequence[str], rows: Sequence[Row], width: int) -> list[int]:
    """Return the places of the columns to show in a terminal of `width` characters.

    A cut figure misleads, so whole columns are left out, in the order of `_LEAST_IMPORTANT`. Name and state stay.
    """
    table = [titles, *(row.cells for row in rows)]
    widths = [max(len(cells[place]) for cells in table) for place in range(len(titles))]
    shown = [*range(len(titles))]
    for title in _LEAST_IMPORTANT:
        if sum(widths[place] + _GAP for place in shown) - _GAP <= width:
            break
        shown = [place for place in shown if titles[place] != title]
    return shown


def _table(titles: Sequence[str], numbers: Sequence[int], rows: Sequence[Row], width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold dim", expand=False)
    shown = columns_that_fit(titles, rows, width)
    for place in shown:
        title = titles[place]
        table.add_column(title, justify="right" if place in numbers else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        cells = [Text(row.cells[place]) for place in shown]
        cells[1].stylize(_COLORS[row.level])
        table.add_row(*cells)
    return table


def _draw_to(file: Path, screen: RenderableType) -> None:
    import io

    from rich.console import Console

    width, height = _SIZE
    console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
    console.print(screen)
    console.save_svg(str(file), title="kinformer top")
    print_error(f"wrote {file}")
