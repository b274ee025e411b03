"""The paths under /kinformer: faults, reset and snapshots over HTTP, for tests in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from aiohttp import web

from kinformer._hosts import is_loopback
from kinformer.testing._apiserver.http.answers import json_answer
from kinformer.testing._apiserver.http.trust import read_body
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREFIX", "Controls", "answer_control"]

PREFIX: Final = "/kinformer/"
MOST_SNAPSHOT_BYTES: Final = 64 * 1024 * 1024
_MOST_FAULT_BYTES: Final = 4096


class Controls(Protocol):
    """The parts of a server that these paths use."""

    def snapshot(self) -> str:
        """Return all objects as YAML."""
        ...

    def reset(self) -> None:
        """Begin anew."""
        ...

    def restore(self, snapshot: str) -> None:
        """Replace all objects."""
        ...

    def start_fault(self, text: str) -> int:
        """Inject a fault; return its number."""
        ...

    @property
    def started_faults(self) -> Mapping[int, str]:
        """The faults that go on, by number."""
        ...

    def stop_faults(self) -> None:
        """End all faults."""
        ...


async def answer_control(request: web.BaseRequest, controls: Controls) -> web.Response:
    """Answer a request to a path under /kinformer.

    Raises:
        Refusal: 400 for a body that does not parse, 403 for a client on another machine, 405, 413.
        TextRefusal: 404, no such path.
    """
    peer = request.remote or ""
    if not is_loopback(peer.removeprefix("::ffff:")):
        raise status.Refusal(403, "the paths under /kinformer are for clients on the same machine", "Forbidden", {})
    match request.method, request.path.rstrip("/").removeprefix(PREFIX):
        case "GET", "faults":
            from kinformer.testing.fault_spec import known_faults

            known = [{"fault": fault, "effect": effect} for fault, effect in known_faults()]
            running = [{"id": number, "fault": text} for number, text in controls.started_faults.items()]
            return json_answer({"faults": running, "known": known})
        case "POST", "faults":
            return _started(_fault_in(await _text(request, _MOST_FAULT_BYTES)), controls)
        case "DELETE", "faults":
            controls.stop_faults()
        case "POST", "reset":
            controls.reset()
        case "GET", "snapshot":
            return web.Response(text=controls.snapshot(), content_type="application/yaml")
        case "PUT", "snapshot":
            controls.restore(await _text(request, MOST_SNAPSHOT_BYTES))
        case _, "faults" | "reset" | "snapshot":
            raise status.method_not_allowed()
        case _:
            raise status.page_not_found()
    return json_answer({"done": True})


def _started(text: str, controls: Controls) -> web.Response:
    try:
        return json_answer({"id": controls.start_fault(text), "fault": text}, code=201)
    except ValueError as error:
        raise status.bad_request(str(error)) from None


def _fault_in(text: str) -> str:
    """Return the fault that a body names, as text or as JSON."""
    stripped = text.strip()
    if not stripped.startswith("{"):
        return stripped
    try:
        fault = msgspec.json.decode(stripped).get("fault")
    except msgspec.DecodeError as error:
        raise status.bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(fault, str):
        raise status.bad_request('the body needs a "fault", as in {"fault": "drop:every=5"}')
    return fault


async def _text(request: web.BaseRequest, most: int) -> str:
    try:
        return (await read_body(request, most)).decode()
    except UnicodeDecodeError:
        raise status.bad_request("the body is no UTF-8") from None
