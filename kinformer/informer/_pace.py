"""The pace of the listeners of an informer, which decides how long decoded sections are kept.

All listeners of an informer are given the same view of an object: the sections that an index function or the first
handler decodes are there for the others. But a listener that lags behind has thousands of events waiting, and they
must hold bytes only: decoded sections take several times the memory, and the garbage collector walks over them. So
while one listener lags behind, each listener drops the decoded sections of an event when it is done with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kinformer.events import Updated

if TYPE_CHECKING:
    from kinformer.events import Event

__all__ = ["Pace", "drop_decoded"]


class Pace(msgspec.Struct, gc=False):
    """Shared by the dispatcher of an informer and its listeners.

    Attributes:
        lagging: whether there are several listeners, and one of them has events waiting. Then each drops the
            decoded sections of an event when it is done with it.
    """

    lagging: bool = False


def drop_decoded(event: Event) -> None:
    """Let the objects of an event hold bytes only; a later read decodes them again."""
    if type(event) is Updated:
        # It runs once per handler and event: most handlers decode nothing of the old state, and many nothing at all.
        new, old = event.new, event.old
        if new._sections is not None:
            new.drop_decoded()
        if old._sections is not None:
            old.drop_decoded()
    else:
        # Also an event of a typed listener, whose old state is an object of a class of the user's.
        event.source.drop_decoded()
