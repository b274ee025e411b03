"""The command line as its users run it: processes, their output and their exit codes; and one server for them all.

A command that runs to its end is a fork of a process that has imported the packages that the command line uses
(`tests.forked_programs`). A command that is watched or gets signals has an interpreter of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.forked_programs import CAN_FORK, ForkedPrograms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "kinformer"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Served:
    url: str
    kubeconfig: Path
    process: subprocess.Popen[str]


AT_ONCE: Final = 30.0
"""Seconds that an immediate end may take on a busy machine; on an idle one it takes a tenth of one. A command that
waits for a watch to end by itself takes minutes."""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "COVERAGE"))}
    return kept | {"HOME": "/nonexistent", "TERM": "dumb"} | more


def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )


def end(process: subprocess.Popen[str], number: int = signal.SIGINT, within: float = 60) -> Outcome:
    process.send_signal(number)
    out, err = process.communicate(timeout=within)
    return Outcome(process.returncode, out, err)


@pytest.fixture(scope="session")
def forked_commands() -> Iterator[ForkedPrograms]:
    ours = ("client", "informer", "cli._app", "cli._completion", "cli._commands.get", "cli._query")
    with ForkedPrograms(*(f"kinformer.{name}" for name in ours), "yaml") as programs:
        yield programs


@pytest.fixture
def kinformer(forked_commands: ForkedPrograms) -> Callable[..., Outcome]:
    """Run a command to its end."""

    def run(*arguments: str, **more: str) -> Outcome:
        if CAN_FORK and "PYTHONPATH" not in more:
            encoding = more.get("PYTHONIOENCODING", "utf-8")
            command = ["-m", "kinformer", *arguments]
            ended = forked_commands.run(command, env=environment(**more), encoding=encoding)
            return Outcome(ended.code, ended.out, ended.err)
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            encoding=more.get("PYTHONIOENCODING"),
            env=environment(**more),
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`kinformer serve-api` with nothing in it but what a test puts there."""
    kubeconfig = tmp_path_factory.mktemp("serve") / "kubeconfig"
    process = start("serve-api", "--write-kubeconfig", str(kubeconfig))
    assert process.stdout is not None
    try:
        first, second = process.stdout.readline(), process.stdout.readline()
        assert second == f"export KUBECONFIG={kubeconfig}\n"
        yield Served(first.split()[-1], kubeconfig, process)
    finally:
        ended = end(process)
    assert (ended.code, ended.err) == (130, "")
