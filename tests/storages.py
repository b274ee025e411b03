"""Both storages for the tests of the cache: what holds of it must hold however it keeps its objects.

An eager compact cache makes a dictionary of the first object it gets, looks for a reason to make another after every
third, takes each, and compresses whatever comes. So in a test of a few small objects everything happens that otherwise
takes thousands of large ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.cache._compact import indexer as compact_indexer
from kinformer.cache._compact.indexer import CompactIndexer, CompactPolicy
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory

if TYPE_CHECKING:
    import pytest

    from kinformer.cache.storage import Storage
    from kinformer.objects import KubeObject, ObjectKey

STORAGES = ("plain", "compact")

EAGER = CompactPolicy(first_bytes=1, look_every=3, growth=1.5, decay=1.05, gain=10.0, worth=10.0)

_used: dict[str, Storage] = {"storage": "plain"}


class EagerIndexer(CompactIndexer):
    """A compact cache without an informer, which does what is due after every change."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, policy=EAGER, **options)

    def put(self, key: ObjectKey, obj: KubeObject) -> KubeObject | None:
        before = super().put(key, obj)
        for _ in self.work():
            pass
        return before


def use(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends, informers and factories that are not told otherwise have this storage, as has `indexer`."""
    monkeypatch.setitem(_used, "storage", storage)
    for made in (SharedInformer.__init__, SharedInformerFactory.__init__):
        assert made.__kwdefaults__ is not None
        monkeypatch.setitem(made.__kwdefaults__, "storage", storage)
    monkeypatch.setattr(compact_indexer, "CompactPolicy", lambda: EAGER)


def indexer(*args: Any, **options: Any) -> InformerIndexer:
    """A cache without an informer."""
    return InformerIndexer(*args, **options) if _used["storage"] == "plain" else EagerIndexer(*args, **options)
