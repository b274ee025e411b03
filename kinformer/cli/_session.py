"""The frame of every command: one line per error, exit codes, logging, and a standard output that may be closed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import stat
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli import _signals
from kinformer.cli._escapes import escaped, one_line, survive_any_encoding
from kinformer.errors import KinformerError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

__all__ = [
    "EXIT_FAILURE",
    "EXIT_USAGE",
    "ProgramFailed",
    "UsageProblem",
    "code_of",
    "ending_with_reader",
    "print_error",
    "run_command",
    "write",
]

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
_EXIT_PIPE: Final = 141  # 128 + SIGPIPE: as a program in C ends
_PACKAGE: Final = str(Path(__file__).parents[1])
"""The folder of kinformer."""


class UsageProblem(Exception):  # noqa: N818 - a mistake of the user, no defect
    """A command line that cannot be carried out. The message gives the reason and the remedy."""


class ProgramFailed(Exception):  # noqa: N818 - the error is the cause
    """Code of the user's, such as a module that `kinformer run` imports, has raised. The message names the code."""


class OutputClosed(Exception):  # noqa: N818 - no error: `| head` ends in this way
    """Standard output was closed by its reader."""


def run_command(
    command: Callable[[], Coroutine[Any, Any, int]], *, verbose: bool = False, log_level: int = logging.CRITICAL
) -> int:
    """Run a command and return its exit code.

    0 means success, 2 a wrong command line, 130 and 143 an end by Ctrl-C and SIGTERM, 141 a standard output that was
    closed. 1 means a failure, with one line on standard error; with `verbose` a traceback comes before it.

    Args:
        command: the command.
        verbose: whether to log everything.
        log_level: the least level that is logged otherwise. Most commands report failures themselves; an operator logs.
    """
    survive_any_encoding()
    _log_to_stderr(logging.DEBUG if verbose else log_level)
    # The modules stay: no collection needs to walk them.
    gc.freeze()
    gc.enable()
    try:
        return _signals.run(command)
    except BaseExceptionGroup as group:
        return _explained(_first_of(group), verbose=verbose)
    except Exception as error:  # noqa: BLE001 - the last resort: the error is reported
        return _explained(error, verbose=verbose)


@contextlib.contextmanager
def code_of(name: str, *, kept: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Run code of the user's: an error in it is reported as an error of that code, with its place.

    Args:
        name: the code, such as "my_operator.operator".
        kept: errors that leave the context unchanged, besides those of kinformer and wrong command lines.

    Raises:
        ProgramFailed: the code has raised; the cause is the error.
    """
    try:
        yield
    except Exception as error:
        first = _first_of(error)
        if isinstance(first, (UsageProblem, ProgramFailed, KinformerError, OutputClosed, *kept)):
            raise
        raise ProgramFailed(name) from first


def write(text: str) -> None:
    """Write to standard output and flush it.

    Raises:
        OutputClosed: standard output was closed by its reader.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosed from error


def print_error(text: str) -> None:
    """Write one line to standard error, with control characters escaped."""
    with contextlib.suppress(BrokenPipeError):
        print(f"kinformer: {one_line(text)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def ending_with_reader(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` as soon as standard output is closed by its reader, even if nothing is written."""
    loop = asyncio.get_running_loop()
    try:
        out = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(out).st_mode)
    except (OSError, ValueError):
        is_pipe, out = False, -1
    if not is_pipe:
        yield
        return

    def gone() -> None:
        loop.remove_reader(out)
        stop()

    # The writing end of a pipe becomes "readable" when its reading end is closed.
    loop.add_reader(out, gone)
    try:
        yield
    finally:
        loop.remove_reader(out)


def _explained(error: BaseException, *, verbose: bool) -> int:
    if isinstance(error, OutputClosed):
        # The rest of the buffer must not fail again when the interpreter exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_PIPE
    if verbose:
        print(escaped("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    if isinstance(error, UsageProblem):
        print_error(str(error))
        return EXIT_USAGE
    from kinformer.status import class_of

    if isinstance(error, ProgramFailed) and error.__cause__ is not None:
        cause = error.__cause__
        hint = "" if verbose else "; -v shows the traceback"
        print_error(f"{error}: {class_of(cause)}: {cause} ({_place_of(cause)}{hint})")
    elif isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
        print_error(f"{os.fsdecode(error.filename)}: {error.strerror}")
    elif isinstance(error, KinformerError | OSError):
        print_error(str(error) or class_of(error))
    elif not verbose:
        print_error(f"internal error: {class_of(error)}: {error} (-v shows where)")
    return EXIT_FAILURE


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place_of(error: BaseException) -> str:
    """Return the file and the line of the user's own code that raised, or called what raised."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    foreign = (sysconfig.get_path("stdlib"), _PACKAGE, "<")
    # An operator in a container is installed, as its dependencies are: so site-packages count if nothing else is there.
    for others in ((*foreign, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")), foreign):
        own = [each for each in frames if not each.filename.startswith(others)]
        if own:
            return f"{_short(own[-1].filename)}, line {own[-1].lineno}, in {own[-1].name}"
    return "outside of your code"


def _short(file: str) -> str:
    here = Path.cwd()
    path = Path(file)
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class _Formatter(logging.Formatter):
    """Formats log lines without control characters: they contain names of objects and messages of servers."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The commands report retried failures themselves.
    logging.getLogger("asyncio").setLevel(logging.INFO if level == logging.DEBUG else logging.ERROR)
