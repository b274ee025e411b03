"""`kinformer top`: the informers of a running program, live, from its status endpoint."""

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
    """The text of one informer or controller.

    Attributes:
        cells: the texts, in the order of `TITLES` or `CONTROLLER_TITLES`.
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
_LEAST_IMPORTANT: Final = (
    *("STORED", "LISTS", "EVENTS", "WATCHES", "DELAYED", "RECONCILES", "EVENTS/S", "RECONCILES/S", "LONGEST"),
    *("SILENT", "WAITING", "WORKING", "ERRORS", "QUEUED", "OBJECTS"),
)
"""The columns in the order in which a narrow terminal loses them."""
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


def _rate(now: int, before: int | None, seconds: float) -> str:
    """Return events per second; 0 after a restart of the program, "" without an earlier answer."""
    return "" if before is None else f"{max(now - before, 0) / seconds:.1f}"


def plain(now: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> str:
    """Return the status as lines of text."""
    rows = rows_of(now, before, seconds)
    lines = aligned([TITLES, *(row.cells for row in rows)], numbers=_NUMBERS)
    controllers = controllers_of(now, before, seconds)
    if controllers:
        table = [CONTROLLER_TITLES, *(row.cells for row in controllers)]
        lines += ["", *aligned(table, numbers=_CONTROLLER_NUMBERS)]
    lines += [f"! {row.cells[0]}: {row.trouble}" for row in (*rows, *controllers) if row.trouble]
    return "".join(f"{line}\n" for line in lines)


def _screen(
    url: str, now: dict[str, Any], before: dict[str, Any] | None, seconds: float, wrong: str, width: int
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rows = rows_of(now, before, seconds)
    controllers = controllers_of(now, before, seconds)
    objects = sum(informer["objects"] for informer in now["informers"])
    bad = sum(row.level == "bad" for row in (*rows, *controllers))
    head = Text.assemble(
        ("kinformer top", "bold"),
        (f"  {printable(url)}   kinformer {printable(str(now.get('kinformer', '?')))}   ", "dim"),
        f"{len(rows)} informers, {objects:,} objects, ",
        (f"{bad} in trouble", "red") if bad else ("all well", "green"),
    )
    parts: list[RenderableType] = [head, Text(printable(wrong), style="bold red") if wrong else Text("")]
    parts.append(_table(TITLES, _NUMBERS, rows, width))
    if controllers:
        parts += [Text(""), _table(CONTROLLER_TITLES, _CONTROLLER_NUMBERS, controllers, width)]
    troubles = [row for row in (*rows, *controllers) if row.trouble]
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
