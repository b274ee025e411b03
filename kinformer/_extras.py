"""The extras of the package: an import that fails names the extra that installs the missing package."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from kinformer.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["from_extra"]


@contextlib.contextmanager
def from_extra(extra: str, needed_by: str) -> Iterator[None]:
    """Import packages of an extra inside this context.

    Args:
        extra: the extra that installs them.
        needed_by: the module that needs them, for the message.

    Raises:
        MissingDependencyError: one of them is not installed.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == "kinformer":
            raise
        msg = f"{needed_by} needs {package}, which is not installed; pip install 'kinformer[{extra}]'"
        raise MissingDependencyError(msg) from error
