"""The frame of every command: one line per error, exit codes, logging, and a standard output that may be closed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import stat
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli import _signals
from kinformer.cli._escapes import escaped, one_line, survive_any_encoding
from kinformer.errors import KinformerError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

__all__ = ["EXIT_FAILURE", "EXIT_USAGE", "UsageProblem", "ending_with_reader", "print_error", "run_command", "write"]

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
_EXIT_PIPE: Final = 141  # 128 + SIGPIPE: as a program in C ends


class UsageProblem(Exception):  # noqa: N818 - a mistake of the user, no defect
    """A command line that cannot be carried out. The message gives the reason and the remedy."""


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

    if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
        print_error(f"{os.fsdecode(error.filename)}: {error.strerror}")
    elif isinstance(error, KinformerError | OSError):
        print_error(str(error) or class_of(error))
    elif not verbose:
        print_error(f"internal error: {class_of(error)}: {error} (-v shows where)")
    return EXIT_FAILURE


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


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
