"""`kubectl exec` into a pod that a simulated kubelet runs: a scripted answer, or the effect of a simple command.

The streams are those of a kubelet, over WebSocket: the first byte of each message is its channel (KEP-4006).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSMsgType, web

from kinformer.testing._apiserver.rules.commands import NOW, Outcome, interpret
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry

__all__ = ["answer_attach", "answer_exec"]

_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io")
_LOOK: Final = 0.05  # seconds between two looks at the output of a container
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255


async def answer_exec(
    request: web.BaseRequest,
    scripts: PodScripts,
    target: Target,
    manifest: dict[str, Any],
    container: str,
    clock: Callable[[], datetime],
) -> web.StreamResponse:
    """Answer it.

    Raises:
        Refusal: 400 without a command or an upgrade; 500 if the container does not run.
    """
    command = request.query.getall("command", [])
    if not command:
        raise status.bad_request("you must specify at least 1 command for the container")
    answer = scripts.answer_of(target.namespace, target.name, command)
    if answer is None and not _runs(manifest, container):
        raise status.failed(f'unable to upgrade connection: container not found ("{container}")')
    socket = await _upgraded(request)
    if command in (["cat"], ["/bin/cat"]) and request.query.get("stdin") in {"true", "1"}:
        await _echo(socket)
        outcome = Outcome()
    else:
        outcome = answer or _outcome(command, target.name, manifest, container, clock)
        await _send(socket, _STDOUT, outcome.output.encode())
        await _send(socket, _STDERR, outcome.errors.encode())
        if outcome.seconds is None:
            # It runs until the client goes.
            async for _ in socket:
                pass
            return socket
        await asyncio.sleep(outcome.seconds)
    await _send(socket, _ERROR, msgspec.json.encode(_ending(outcome.exit_code)))
    await socket.close()
    return socket


async def answer_attach(
    request: web.BaseRequest, registry: Registry, scripts: PodScripts, target: Target, container: str
) -> web.StreamResponse:
    """Send the output of a container until it ends, or the client goes.

    Raises:
        Refusal: 400 without an upgrade; 500 if the container does not run.
    """
    place = (target.namespace, target.name)
    if not _runs(registry.get(target.kind, *place).manifest, container):
        raise status.failed(f"unable to upgrade connection: container {container} not found in pod {target.name}")
    socket = await _upgraded(request)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_drained(socket))
        await _follow(socket, registry, scripts, target, container, reading)
        reading.cancel()
    await socket.close()
    return socket


async def _follow(
    socket: web.WebSocketResponse,
    registry: Registry,
    scripts: PodScripts,
    target: Target,
    container: str,
    reading: asyncio.Task[None],
) -> None:
    """Send the output of a container, and its end."""
    place, sent = (target.namespace, target.name), ""
    run = _run_of(registry.get(target.kind, *place).manifest, container)
    while not reading.done():
        text = scripts.text_of(*place, container) or ""
        if text.startswith(sent):
            await _send(socket, _STDOUT, text[len(sent) :].encode())
            sent = text
        stored = registry.store.get(target.kind.storage, place)
        if stored is None or _run_of(stored.manifest, container) != run:
            code = 0 if stored is None else _exit_code(stored.manifest, container)
            await _send(socket, _ERROR, msgspec.json.encode(_ending(code)))
            return
        await asyncio.sleep(_LOOK)


async def _upgraded(request: web.BaseRequest) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    if not socket.can_prepare(request):
        raise status.bad_request("unable to upgrade: unable to find WebSocket protocol headers in the request")
    await socket.prepare(request)
    return socket


async def _drained(socket: web.WebSocketResponse) -> None:
    """Read the input of the client, for which there is no program, until the client goes."""
    async for _ in socket:
        pass


def _status_of(manifest: dict[str, Any], container: str) -> dict[str, Any]:
    state = manifest.get("status") or {}
    statuses = (*(state.get("containerStatuses") or ()), *(state.get("initContainerStatuses") or ()))
    return next((one for one in statuses if one["name"] == container), {})


def _run_of(manifest: dict[str, Any], container: str) -> int | None:
    """The number of the run of a container, or `None` if it does not run."""
    found = _status_of(manifest, container)
    return int(found.get("restartCount") or 0) if "running" in (found.get("state") or {}) else None


def _exit_code(manifest: dict[str, Any], container: str) -> int:
    """The exit code of the run that ended last."""
    found = _status_of(manifest, container)
    ended = (found.get("state") or {}).get("terminated") or (found.get("lastState") or {}).get("terminated") or {}
    return int(ended.get("exitCode") or 0)


def _runs(manifest: dict[str, Any], container: str) -> bool:
    return _run_of(manifest, container) is not None


def _outcome(
    command: Sequence[str], pod: str, manifest: dict[str, Any], container: str, clock: Callable[[], datetime]
) -> Outcome:
    spec = next(one for one in manifest["spec"]["containers"] if one["name"] == container)
    environment = {one["name"]: one.get("value", "") for one in spec.get("env") or ()}
    environment |= {"HOSTNAME": pod, NOW: clock().strftime("%a %b %e %H:%M:%S UTC %Y")}
    unknown = Outcome(exit_code=127, errors=f"sh: 1: {command[0]}: not found\n")
    return interpret(command, environment) or unknown


async def _echo(socket: web.WebSocketResponse) -> None:
    """Send the input back until it ends."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        if message.data[0] == _CLOSE:
            return
        if message.data[0] == _STDIN:
            await _send(socket, _STDOUT, message.data[1:])


async def _send(socket: web.WebSocketResponse, channel: int, data: bytes) -> None:
    if data:
        # A client that is gone needs no answer.
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(bytes([channel]) + data)


def _ending(code: int) -> dict[str, Any]:
    """The Status at the end of the stream of errors."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
