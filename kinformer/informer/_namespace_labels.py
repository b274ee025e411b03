"""The labels of all namespaces, kept by an informer of their metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.errors import ForbiddenError, NotFoundError, UnauthorizedError
from kinformer.events import Updated
from kinformer.informer._shared_informer import core_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.informer._shared_informer import SharedInformer

__all__ = ["NamespaceLabels"]


class NamespaceLabels:
    """Follows an informer of namespaces.

    Args:
        informer: it covers all namespaces.
        release: called when a listener stops.
    """

    def __init__(self, informer: SharedInformer, release: Callable[[], None]) -> None:
        self._informer = informer
        self._release = release
        self._refusal: KinformerError | None = None

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]] | None:
        """The labels of each namespace, by name; `None` before the first list."""
        if not self._informer.has_synced:
            return None
        return {namespace.name: namespace.labels for namespace in self._informer.lister.list()}

    @property
    def refusal(self) -> KinformerError | None:
        """The answer of a server that does not let them be listed; `None` if it does."""
        return None if self._informer.has_synced else self._refusal

    @property
    def last_contact(self) -> float | None:
        """The time at which the server last sent something of them; `None` if it never has."""
        return core_of(self._informer).present_record.last_contact

    def listen(self, listener: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        """Call a function after each change of names or labels from now on; return the function that stops this."""

        def changed(event: Event) -> None:
            if not isinstance(event, Updated) or event.old.labels != event.new.labels:
                listener()

        def failed(error: KinformerError, _: SharedInformer) -> None:
            if isinstance(error, UnauthorizedError | ForbiddenError | NotFoundError):
                self._refusal = error
                listener()

        registration = self._informer.add_event_handler(changed, name="namespaces of a scope")
        forget = self._informer.add_error_handler(failed)

        async def stop() -> None:
            forget()
            self._release()
            await registration.remove()

        return stop
