"""Programs that run each in a process of its own, without the start of an interpreter and its imports for each.

A server process imports the packages that most programs need, once. Each program runs in a fork of it: its memory,
working directory, environment, standard streams and exit code are its own, as those of any process. A program that
imports what the server has imported gets it at once; so a program that forgets to import a submodule of these packages
is not found out here, but by `make wheel-test`, which starts an interpreter for each.

A program that has come to its end does what an interpreter does there: it waits for its threads, calls the functions of
`atexit`, lets garbage say what it left open, and writes its output. Then it exits without taking the imported modules
apart one by one, which costs ten times as much as the fork.

`python -m tests.forked_programs MODULE...` is the server: it reads one job per line, as JSON, and answers with a line.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Ended", "ForkedPrograms"]

CAN_FORK: Final = hasattr(os, "fork")


@dataclass(frozen=True)
class Ended:
    """A program that has ended: its exit code (negative: the signal that ended it) and its output."""

    code: int
    out: str
    err: str


class ForkedPrograms:
    """Runs programs in forks of one process; programs run one after the other.

    Args:
        preloaded: the modules that the server imports first. They must start no thread.
        warnings: the value of `-W`, for the server and its programs; by default none.
    """

    def __init__(self, *preloaded: str, warnings: str = "") -> None:
        options = ["-W", warnings] if warnings else []
        self._command = [sys.executable, *options, "-m", "tests.forked_programs", *preloaded]
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str],
        timeout: float = 60,
        encoding: str = "utf-8",
    ) -> Ended:
        """Run a program to its end.

        Args:
            arguments: those of the interpreter: the path of a program, or "-m" and a module; then its own.
            cwd: the working directory; by default that of the tests.
            env: the whole environment. `PYTHONPATH` and `PYTHONIOENCODING` count; other variables of the interpreter
                come too late.
            timeout: seconds after which the program is killed.
            encoding: that of the output.

        Raises:
            TimeoutError: it did not end in time.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            job = {
                "arguments": [*arguments],
                "cwd": str(cwd or ROOT),
                "env": dict(env),
                "out": str(out),
                "err": str(err),
            }
            code = int(self._answer(json.dumps(job), timeout))
            return Ended(code, _text(out, encoding), _text(err, encoding))

    def _answer(self, job: str, timeout: float) -> bytes:
        server = self._started()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{job}\n".encode())
        server.stdin.flush()
        ready, _, _ = select.select([server.stdout], [], [], timeout)
        if not ready:
            self._end()
            msg = f"no end within {timeout:g} s: {job}"
            raise TimeoutError(msg)
        answer = server.stdout.readline()
        assert answer, "the server of forked programs has ended"
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._server is None:
            self._server = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        return self._server

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


def _text(path: Path, encoding: str) -> str:
    return path.read_bytes().decode(encoding) if path.exists() else ""


_codes: list[int] = []
"""In a fork whose program has come to its end: its exit code."""


def _exit_at_once() -> None:
    """As the last function of `atexit`: exit, if the program has come to its end and did not fail."""
    if _codes:
        gc.collect()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[0])


def _serve(preloaded: Sequence[str]) -> None:
    """Fork for each job until standard input ends. A fork returns from here when it has become its program."""
    # The first that is registered is the last that is called.
    atexit.register(_exit_at_once)
    for module in preloaded:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a fork would lack the other threads"
    answers = os.dup(1)
    os.dup2(2, 1)
    gc.freeze()
    while job := sys.stdin.readline():
        child = os.fork()
        if not child:
            os.close(answers)
            try:
                _become(json.loads(job))
            except SystemExit as error:
                if error.code is None or isinstance(error.code, int):
                    _codes.append((error.code or 0) & 0xFF)
                raise
            _codes.append(0)
            return
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(job: dict[str, Any]) -> None:
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    if encoding := os.environ.get("PYTHONIOENCODING"):
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(encoding=encoding)
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # The first entry is the directory that this program was started in. An editable install has the same one, later on.
    kept = [entry for entry in sys.path[1:] if entry not in given]
    program, *rest = job["arguments"]
    # The server itself is no module of the program.
    for name in ("tests.forked_programs", "tests.paths", "tests"):
        sys.modules.pop(name, None)
    if program == "-m":
        sys.path[:] = ["", *given, *kept]
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[:] = [str(Path(program).parent), *given, *kept]
        sys.argv[:] = [program, *rest]
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1:])
