"""Builds all clients that are not in Python, before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers import go, java, rust
from benchmarks.peers.building import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["prepare"]

_BUILDS: Final[dict[str, Callable[[], object]]] = {
    f"client-go {go.version()}": go.built,
    f"kube-rs {rust.version()}": rust.built,
    f"Fabric8 {java.version()}": java.command,
}


def prepare() -> Iterator[str]:
    """Build each that is not built yet; yield a line for each that cannot be built, and so has no rows."""
    for name, build in _BUILDS.items():
        try:
            build()
        except (MissingError, OSError) as error:
            yield f"{name} is left out: {error}"
