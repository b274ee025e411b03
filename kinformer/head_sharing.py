"""What the heads of many objects have in common, held once: namespaces, and whole sets of labels.

The pods of a Deployment have equal labels, and arrive one after the other. So it is enough to remember what came
lately: two tables of bounded size, of which the older one is dropped when the younger one is full. Nothing has to be
counted or given back, and nothing is kept alive for longer than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer.objects import Metadata

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["HeadSharing"]

_STRINGS: Final = 2048
_LABEL_SETS: Final = 512

K = TypeVar("K")
V = TypeVar("V")


class _Lately(Generic[K, V]):
    """What came lately: at least the last `size` different keys, at most twice as many."""

    __slots__ = ("_older", "_size", "_younger")

    def __init__(self, size: int) -> None:
        self._size = size
        self._younger: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def get(self, key: K) -> V | None:
        found = self._younger.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if len(self._younger) >= self._size:
            self._older, self._younger = self._younger, {}
        self._younger[key] = value


class HeadSharing:
    """Makes heads that share with others what is equal."""

    __slots__ = ("_labels", "_strings")

    def __init__(self) -> None:
        self._strings: _Lately[str, str] = _Lately(_STRINGS)
        self._labels: _Lately[int, dict[str, str]] = _Lately(_LABEL_SETS)

    def __len__(self) -> int:
        return len(self._strings) + len(self._labels)

    def shared(self, obj: KubeObject, before: KubeObject | None) -> Metadata:
        """A head equal to the object's.

        Args:
            obj: the object.
            before: an earlier state of it; its key is to be the object's.
        """
        head = obj.metadata
        labels = head.labels
        if before is None:
            namespace = self._string(head.namespace)
            return Metadata(head.name, namespace, head.uid, head.resource_version, labels and self._shared(labels))
        key, known = before.key, before.metadata
        uid = known.uid if known.uid == head.uid else head.uid
        if labels:
            labels = known.labels if known.labels == labels else self._shared(labels)
        return Metadata(key.name, key.namespace, uid, head.resource_version, labels)

    def _string(self, text: str) -> str:
        found = self._strings.get(text)
        if found is None:
            self._strings.put(text, text)
            return text
        return found

    def _shared(self, labels: dict[str, str]) -> dict[str, str]:
        # The API server sorts labels, so equal ones come in one order.
        token = hash(tuple(labels.items()))
        found = self._labels.get(token)
        if found != labels:
            share = self._string
            found = {share(name): share(value) for name, value in labels.items()}
            self._labels.put(token, found)
        return found
