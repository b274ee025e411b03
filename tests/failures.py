"""The exceptions that foreign code may raise, one of each kind, for tests that go through all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class OfNoKind(BaseException):
    """An exception that is no `Exception`."""


class UnspeakableError(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


KINDS: Final[dict[str, Callable[[], BaseException]]] = {
    "Exception": lambda: RuntimeError("foreign"),
    "StopIteration": lambda: StopIteration("foreign"),
    "StopAsyncIteration": lambda: StopAsyncIteration("foreign"),
    "CancelledError": lambda: asyncio.CancelledError("foreign"),
    "GeneratorExit": lambda: GeneratorExit("foreign"),
    "ExceptionGroup": lambda: ExceptionGroup("foreign", [ValueError("foreign")]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("foreign", [OfNoKind("foreign")]),
    "BaseException": lambda: OfNoKind("foreign"),
    "TimeoutError": lambda: TimeoutError("foreign"),
    "unspeakable": UnspeakableError,
}

each_kind = pytest.mark.parametrize("kind", KINDS)


def foreign(kind: str) -> BaseException:
    """Return an exception of a kind."""
    return KINDS[kind]()
