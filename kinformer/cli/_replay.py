"""`kinformer replay`: serve a recording until cancelled."""

from __future__ import annotations

import asyncio
import math
import shlex
from typing import TYPE_CHECKING

from kinformer.cli._kubeconfig_file import check_may_be_written, kubeconfig_file
from kinformer.cli._session import UsageProblem, print_error, write
from kinformer.recordings import Replay

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["replay", "speed_of"]


async def replay(
    path: Path,
    *,
    speed: str,
    hold: bool,
    host: str,
    port: int,
    kubeconfig: Path | None,
    most_bytes: int,
) -> int:
    """Print the address and the environment for kubectl, then serve.

    Raises:
        UsageProblem: a speed or an address that cannot be used.
        RecordingError: the file is no recording, or is damaged in its first lists.
        OSError: the file cannot be read, or the port is in use.
    """
    if kubeconfig is not None:
        check_may_be_written(kubeconfig)
    try:
        made = Replay(path, speed=speed_of(speed), hold=hold, host=host, port=port, most_held_bytes=most_bytes)
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    with kubeconfig_file(kubeconfig) as written:
        async with made as server:
            server.write_kubeconfig(written)
            write(f"replay at {server.url}\nexport KUBECONFIG={shlex.quote(str(written.absolute()))}\n")
            if hold:
                print_error(f"holds the events until a POST to {server.url}/kinformer/replay")
            await server.finished()
            if server.recording.truncated:
                print_error(f"{path} ends too early; everything up to its last whole record was played")
            print_error(f"all {server.events} events were played; the last state stays until Ctrl-C")
            await asyncio.get_running_loop().create_future()
    return 0


def speed_of(text: str) -> float:
    """Return the speed that a text means.

    Raises:
        UsageProblem: it is none.
    """
    if text == "max":
        return math.inf
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise UsageProblem(f"--speed {text}: expected a positive number, or max")
    return speed
