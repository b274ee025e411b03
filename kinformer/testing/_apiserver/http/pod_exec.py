"""`kubectl exec` into a pod that a simulated kubelet runs: a scripted answer, or the effect of a simple command.

The streams are those of a kubelet, over WebSocket: the first byte of each message is its channel (KEP-4006).
"""

from __future__ import annotations

import asyncio
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

__all__ = ["answer_exec"]

_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io")
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
    if not _runs(manifest, container):
        raise status.failed(f'unable to upgrade connection: container not found ("{container}")')
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    if not socket.can_prepare(request):
        raise status.bad_request("unable to upgrade: unable to find WebSocket protocol headers in the request")
    await socket.prepare(request)
    if command in (["cat"], ["/bin/cat"]) and request.query.get("stdin") in {"true", "1"}:
        await _echo(socket)
        outcome = Outcome()
    else:
        outcome = scripts.answer_of(target.namespace, target.name, command) or _outcome(
            command, target.name, manifest, container, clock
        )
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


def _runs(manifest: dict[str, Any], container: str) -> bool:
    state = manifest.get("status") or {}
    statuses = (*(state.get("containerStatuses") or ()), *(state.get("initContainerStatuses") or ()))
    return any(one["name"] == container and "running" in (one.get("state") or {}) for one in statuses)


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
