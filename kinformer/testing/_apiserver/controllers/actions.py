"""The writes of controllers, as data.

A controller is a function from the state of the cluster to actions. `loop` carries them out, one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.storage import Key, Storage

__all__ = ["Action", "Again", "Bind", "Create", "Delete", "Finish", "Manifest", "Record", "SetStatus", "Update"]

Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object.

    Attributes:
        manifest: the object.
        about: the object that gets an Event if the server refuses the creation; `None` for no Event.
        reported: `about` gets an Event if the object was created, too.
    """

    manifest: Manifest
    about: Manifest | None = None
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object, except its status."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Replace the status of an object."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object, if it still has the uid.

    Attributes:
        storage: the resource.
        manifest: the object.
        policy: the propagation policy; "" for the default of the resource.
        grace: the seconds that a pod is given to end; `None` for its own.
        about: the object that gets an Event of the deletion.
    """

    storage: Storage
    manifest: Manifest
    policy: str = ""
    grace: int | None = None
    about: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """Give a pod its node."""

    pod: Manifest
    node: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Take the finalizer `kubernetes` from a namespace, so that it goes."""

    namespace: str


@dataclass(frozen=True, slots=True)
class Record:
    """Write an Event, or count it once more.

    Attributes:
        about: the object that it is about.
        reason: the reason, in CamelCase.
        message: the message.
        warning: its type is "Warning" rather than "Normal".
        field: the part of the object that it is about, as `spec.containers{app}`.
    """

    about: Manifest
    reason: str
    message: str
    warning: bool = False
    field: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Look at the same key again after some seconds."""

    seconds: float


Action: TypeAlias = Create | Update | SetStatus | Delete | Bind | Finish | Record | Again


def key_of(manifest: Manifest) -> Key:
    """Return the key of an object in the store."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
