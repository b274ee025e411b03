"""The steps that a reflector can take next, as `ReflectorMachine` decides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from kinformer.errors import KinformerError

__all__ = ["ListStep", "Step", "StreamStep", "WaitStep", "WatchStep"]


class StreamStep(msgspec.Struct, frozen=True, gc=False):
    """List by streaming now (`sendInitialEvents`, KEP-3157), and go on watching in the same stream.

    Attributes:
        resource_version: the state must not be older than this; "" for the newest (as in client-go: never "0").
        timeout_seconds: when the server should end the stream.
        reason: why a list is made, as in `ListStep`.
    """

    resource_version: str
    timeout_seconds: int
    reason: str


class ListStep(msgspec.Struct, frozen=True, gc=False):
    """List now.

    Attributes:
        resource_version: "0" for the first list (any state of the watch cache); then the received version, for a list
            that is not older; or "" for a quorum read, if the server could not serve that version.
        limit: objects per page; 0 if a limit would make the server read etcd instead of its cache (as in client-go).
        reason: why, in a word: "initial", "expired", "failed watches", ...
    """

    resource_version: str
    limit: int
    reason: str


class WatchStep(msgspec.Struct, frozen=True, gc=False):
    """Watch now, from a version on, for a number of seconds.

    Attributes:
        resource_version: the received version.
        timeout_seconds: when the server should end the watch.
        trial: seconds within which the watch must make progress, because those before it failed; `None` for no limit.
    """

    resource_version: str
    timeout_seconds: int
    trial: float | None = None


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Wait, then get the next step; `error` is the failure that causes the wait."""

    seconds: float
    error: KinformerError | None


Step: TypeAlias = StreamStep | ListStep | WatchStep | WaitStep
