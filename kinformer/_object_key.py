"""The identity of an object within its resource, and the order of its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ObjectKey", "version_number"]


class ObjectKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """The identity of an object within its resource; the namespace of a cluster-scoped object is "".

    `str(key)` is client-go's form, "namespace/name" or "name" (client-go store.go, MetaNamespaceKeyFunc). Keys can be
    hashed, sorted by namespace and name, and taken apart: `namespace, name = key`.

    Examples:
        >>> key = ObjectKey.parse("default/web-0")
        >>> key.namespace, key.name
        ('default', 'web-0')
        >>> str(key)
        'default/web-0'
    """

    # Not a NamedTuple: of those the collector never learns that nothing in them can be in a cycle, so it would look
    # through the keys of the whole cache, again and again. And no `cache_hash`: the strings remember their own hashes.
    # It would save 15 ns for each use of a key in a dict, and take 64 bytes of each key.
    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Take "namespace/name" or "name" apart.

        Raises:
            ValueError: there is more than one slash, or no name.
        """
        namespace, slash, name = text.rpartition("/")
        if not name or "/" in namespace or (slash and not namespace):
            msg = f"unexpected key format: {text!r}; expected 'namespace/name' or 'name'"
            raise ValueError(msg)
        return cls(namespace, name)

    def __iter__(self) -> Iterator[str]:
        yield self.namespace
        yield self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def version_number(resource_version: str) -> int:
    """Return a resource version as an integer (KEP-5504); text that is no number counts as 0, older than everything."""
    try:
        return int(resource_version)
    except ValueError:
        return 0
