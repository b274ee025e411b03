"""Runs clients of others against the embedded server, and fails if a number of tests/data/ratchets.json has fallen.

python -m tests.foreign                  # `make foreign`: all clients that are here or can be built
python -m tests.foreign NAME             # one of them, with what differs from a real server
python -m tests.foreign record NAME      # runs it against a real server, and keeps the answers
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers.building import MissingError
from tests.foreign import controller_runtime, helm, kubectl, suites
from tests.foreign.answers import Commands, show
from tests.foreign.programs import GO, RUST, Program
from tests.foreign.proxy_readers import ProxyReaders
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Callable


def _commands(commands: Commands, *, verbose: bool, **server: Any) -> dict[str, int]:
    theirs, ours = commands.kept(), asyncio.run(commands.embedded(**server))
    if verbose:
        show(theirs, ours)
    return {
        "codes": sum(answer.code == ours[command].code for command, answer in theirs.items()),
        "texts": sum(answer == ours[command] for command, answer in theirs.items()),
    }


def _kubectl(name: str, verbose: bool) -> dict[str, int]:
    return _commands(kubectl.sequence(name), verbose=verbose, **kubectl.SERVER)


def _succeeding(commands: Commands, *, verbose: bool) -> dict[str, int]:
    ours = asyncio.run(commands.embedded(controllers="all"))
    if verbose:
        for command, answer in ours.items():
            print(f"== {command}\n-- {answer.code}\n{answer.output}{answer.errors}", end="")
    return {"succeeded": sum(answer.code == 0 for answer in ours.values())}


def _program(program: Program | ProxyReaders, *, verbose: bool) -> dict[str, int]:
    theirs, ours = program.kept(), asyncio.run(program.embedded())
    if verbose:
        for name, reason in ours.items():
            if reason:
                print(f"{name}:  {reason}")
    # What holds on a real server must hold here.
    return {
        "checks": sum(not reason for reason in ours.values()),
        "as_real": sum(not ours.get(name, "missing") for name, reason in theirs.items() if not reason),
    }


CLIENTS: Final[dict[str, Callable[[bool], dict[str, int]]]] = {
    **{name: partial(_kubectl, name) for name in kubectl.SEQUENCES},
    "helm": lambda verbose: _commands(helm.compared(), verbose=verbose),
    "helm-wait": lambda verbose: _succeeding(helm.on_a_cluster(), verbose=verbose),
    "go": lambda verbose: _program(GO, verbose=verbose),
    "go-readers": lambda verbose: _program(ProxyReaders(), verbose=verbose),
    "rust": lambda verbose: _program(RUST, verbose=verbose),
    "controller-runtime": lambda verbose: controller_runtime.run(verbose=verbose),
    "kr8s": lambda verbose: suites.run("kr8s", verbose=verbose),
}


def _record(name: str) -> None:
    if name in kubectl.SEQUENCES:
        asyncio.run(kubectl.sequence(name).record())
    elif name == "helm":
        asyncio.run(helm.compared().record())
    else:
        programs: dict[str, Program | ProxyReaders] = {"go": GO, "go-readers": ProxyReaders(), "rust": RUST}
        asyncio.run(programs[name].record())


def main() -> int:
    """Run, and print a line for each client."""
    if sys.argv[1:2] == ["record"]:
        _record(sys.argv[2])
        return 0
    wanted = json.loads((DATA / "ratchets.json").read_text())
    fallen = []
    for name in sys.argv[1:] or CLIENTS:
        try:
            found = CLIENTS[name](bool(sys.argv[1:]))
        except MissingError as error:
            print(f"{name}: left out: {error}", flush=True)
            continue
        print(f"{name}: {', '.join(f'{number} {what}' for what, number in found.items())}", flush=True)
        least = wanted.get(name, {})
        fallen += [f"{name}: {found[what]} {what}, not {least[what]}" for what in least if found[what] < least[what]]
    if fallen:
        print(f"fallen: {'; '.join(fallen)}; see python -m tests.foreign NAME")
    return bool(fallen)


if __name__ == "__main__":
    sys.exit(main())
