"""`storage="compact"`: the cache with its objects compressed.

Objects are held uncompressed until there are enough of them to make a dictionary. From then on each object is
compressed as it arrives, and the earlier objects are compressed in the background, in slices. When the cache has grown
much, or new objects compress badly, a new dictionary is tried. If it is clearly better, all objects are compressed
again with it, also in slices. Each object has a reference to its dictionary, so reads do not wait for that, and an old
dictionary is freed with the last view that needs it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer._flag import Flag
from kinformer._time_slice import TimeSlice
from kinformer.cache._compact.dictionary import make_dictionary, require_zstd
from kinformer.cache._compact.interning import HeadSharing
from kinformer.cache._compact.malloc_trim import give_back_free_memory
from kinformer.cache._compact.packed_head import UnpackableError, pack_state, state_of
from kinformer.cache._compact.packed_object import PackedObject, packed_common_of, packed_state_of
from kinformer.cache._informer_indexer import HasVersion, InformerIndexer
from kinformer.cache.storage import StorageStatus
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kinformer.cache._compact.dictionary import Dictionary
    from kinformer.cache.indexer import IndexFunction
    from kinformer.errors import IndexFunctionError
    from kinformer.labels import LabelSelector
    from kinformer.objects import ObjectKey

__all__ = ["CompactIndexer", "CompactPolicy"]

_SLICE_OBJECTS: Final = 32
_SETTLING_SECONDS: Final = 1.0
_SAMPLES: Final = 128
_SAMPLES_BYTES: Final = 2 << 20
_SAMPLE_CUT: Final = 64 << 10
_LONGEST_WAIT: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPolicy:
    """The limits at which dictionaries are made. The defaults are measured (docs/design/0006); tests use smaller ones.

    Attributes:
        first_bytes: make the first dictionary when this many bytes of JSON are held uncompressed. Working with a
            dictionary takes 0.7 MB, so a smaller cache would save nothing.
        look_every: check after this many compressions whether a new dictionary is due.
        growth: a new dictionary is due when the number of objects has grown by this factor since the last one.
        decay: a new dictionary is due when new objects compress this many times worse than the first ones.
        gain: use a new dictionary if it compresses a sample of the cache to less than this fraction of its size with
            the present one.
        worth: hold an object compressed if that takes at most this fraction of its JSON.
    """

    first_bytes: int = 1 << 20
    look_every: int = 512
    growth: float = 8.0
    decay: float = 1.3
    gain: float = 0.95
    worth: float = 0.9


class CompactIndexer(InformerIndexer):
    """An `Indexer` that holds objects compressed; its reads return the same objects as those of an `Indexer`.

    Args:
        indexers: see `Indexer`.
        on_error: see `Indexer`.
        policy: the limits at which dictionaries are made.

    Raises:
        MissingDependencyError: there is no zstd; `pip install 'kinformer[compact]'`.
    """

    __slots__ = (
        "_arrived",
        "_arrived_bytes",
        "_dictionary",
        "_due",
        "_generation",
        "_heads",
        "_kept",
        "_list_has_come",
        "_look_at",
        "_made_of",
        "_policy",
        "_ratio",
        "_ratio_at_first",
        "_stored_bytes",
        "_trials",
        "_wait",
        "_wakeup",
    )

    _keeps_plain = False

    def __init__(
        self,
        indexers: Mapping[str, IndexFunction] | None = None,
        *,
        on_error: Callable[[IndexFunctionError], None] | None = None,
        policy: CompactPolicy | None = None,
    ) -> None:
        require_zstd()
        self._policy = CompactPolicy() if policy is None else policy
        self._heads = HeadSharing()
        self._dictionary: Dictionary | None = None
        self._generation = 0
        self._trials = 0
        self._stored_bytes = 0
        # Objects of the first list, to make a dictionary of: a list enters the cache only when it is complete.
        self._arrived: list[KubeObject] = []
        self._arrived_bytes = 0
        self._kept = 0
        self._look_at = self._wait = self._policy.look_every
        self._made_of = 0
        self._ratio = self._ratio_at_first = 0.0
        self._due = False
        self._list_has_come = False
        self._wakeup = Flag()
        super().__init__(indexers, on_error=on_error)

    @property
    def storage_status(self) -> StorageStatus:
        """The sizes of the cache, counted as objects come and go; may be asked from any thread."""
        dictionary = self._dictionary
        return StorageStatus(
            storage="compact",
            objects=len(self._objects),
            json_bytes=self._json_bytes,
            stored_bytes=self._stored_bytes,
            dictionary_bytes=0 if dictionary is None else dictionary.size,
            generation=self._generation,
            trials=self._trials,
        )

    def pack(self, obj: KubeObject) -> KubeObject:
        """Return an object in its stored form. Lists need it: they are held as a whole before they enter the cache."""
        if type(obj) is PackedObject:
            return obj
        packed, _ = self._pack(obj, None)
        if self._dictionary is None:
            self._arrived.append(packed)
            self._arrived_bytes += len(obj.raw)
            if self._arrived_bytes >= self._policy.first_bytes:
                self._now_due()
        return packed

    async def upkeep(self) -> None:
        """Make dictionaries and compress objects when it is due, in time slices; never return."""
        time_slice = TimeSlice()
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            await time_slice.begin()
            for _ in self.work():
                if time_slice.over:
                    await time_slice.begin()
            if self._list_has_come:
                self._list_has_come = False
                # Handlers still process the list.
                await asyncio.sleep(_SETTLING_SECONDS)
            give_back_free_memory()

    def list_has_come(self) -> None:
        """Note that a whole list is in the cache, so its temporary memory is free now or soon."""
        self._list_has_come = True
        self._wakeup.set()

    def work(self) -> Iterator[None]:
        """Do the work that is due, in steps of one or two milliseconds; the cache may change between the steps."""
        if not self._due:
            return
        self._due = False
        before = self._dictionary
        if before is None:
            few = self._json_bytes < self._arrived_bytes
            samples = [obj.raw[:_SAMPLE_CUT] for obj in self._arrived] if few else self._samples()
            if not samples:
                return
            yield
            self._trials += 1
            # Compare with samples that are not in the dictionary; those in it compress too well.
            self._take(make_dictionary(samples[::2], 1), samples[1::2] or samples)
        else:
            self._made_of = len(self._objects)
            samples = self._samples()
            yield
            tried = make_dictionary(samples[::2], self._generation + 1) if len(samples) > 1 else before
            yield
            rest = samples[1::2]
            size = _compressed(tried, rest)
            yield
            now = _compressed(before, rest)
            self._trials += 1
            if size >= now * self._policy.gain:
                # A new dictionary does not help with these objects. Check again later.
                self._ratio_at_first = max(self._ratio, self._ratio_at_first)
                self._wait = min(self._wait * 2, _LONGEST_WAIT)
                return
            self._take(tried, rest)
        self._arrived, self._arrived_bytes = [], 0
        yield
        yield from self._move_over()

    def _take(self, dictionary: Dictionary, samples: Sequence[bytes]) -> None:
        self._dictionary = dictionary
        self._generation = dictionary.generation
        self._made_of = max(len(self._objects), len(self._arrived))
        self._wait = self._policy.look_every
        self._look_at = self._kept + self._wait
        some = samples[:: max(1, len(samples) // 16)]
        self._ratio = self._ratio_at_first = _compressed(dictionary, some) / max(sum(map(len, some)), 1)

    def _move_over(self) -> Iterator[None]:
        """Compress all other objects with the present dictionary; the order of keys stays the same."""
        objects = self._objects
        dictionary = self._dictionary
        assert dictionary is not None
        for count, key in enumerate([*objects], 1):
            stored = objects.get(key)
            if stored is not None and not (type(stored) is PackedObject and stored.dictionary is dictionary):
                raw = _json_of(stored)
                if raw is not None:
                    moved, size = self._compressed_or_plain(raw, stored, stored, stored.key)
                    self._stored_bytes += size - _size(stored)
                    objects[key] = moved
            if count % _SLICE_OBJECTS == 0:
                yield

    def _samples(self) -> list[bytes]:
        """Return evenly spread objects of the cache as JSON, large ones cut to `_SAMPLE_CUT`."""
        stored = [*self._objects.values()]
        mean = self._json_bytes // max(len(stored), 1)
        step = max(1, len(stored) // max(4, min(_SAMPLES, _SAMPLES_BYTES // max(mean, 1))))
        return [raw[:_SAMPLE_CUT] for raw in map(_json_of, stored[::step]) if raw is not None]

    def version_in(self, stored: KubeObject) -> HasVersion:
        """Return the part of a stored object that has its uid and resource version; its head stays packed."""
        return stored.version if isinstance(stored, PackedObject) else stored.metadata

    @staticmethod
    def _matching(selector: LabelSelector, stored: Sequence[KubeObject]) -> Sequence[KubeObject]:
        # Their heads stay packed.
        return [one for one in stored if selector.matches(one.labels)]

    def _keep(self, obj: KubeObject, before: KubeObject | None) -> KubeObject:
        if type(before) is PackedObject and type(obj) is KubeObject and self._dictionary is not None:
            # The next state of an object, as for nearly each event of a watch: with few calls.
            raw, was = obj.raw, state_of(packed_state_of(before))
            stored, held = self._compressed_or_plain(raw, obj, before, before.key)
            self._ratio += (held / len(raw) - self._ratio) / 128
            self._json_bytes += len(raw) - was.json_bytes
            self._stored_bytes += held - len(was.frame)
            self._kept += 1
            if self._kept >= self._look_at:
                self._look()
            return stored
        if before is not None:
            self._dropped(before)
        stored = obj.view() if type(obj) is PackedObject else obj
        if type(stored) is PackedObject:
            stored = self._with_packed_head(stored)
            self._count(stored, 1)
        else:
            size = len(stored.raw)
            stored, held = self._pack(stored, before)
            self._json_bytes += size
            self._stored_bytes += held
            if self._dictionary is None and self._json_bytes >= self._policy.first_bytes:
                self._now_due()
        if self._arrived:
            # The list enters the cache: from now on dictionaries are made of the cache itself.
            self._arrived, self._arrived_bytes = [], 0
        self._kept += 1
        if self._kept >= self._look_at:
            self._look()
        return stored

    def _dropped(self, stored: KubeObject) -> None:
        self._count(stored, -1)

    def _count(self, stored: KubeObject, sign: int) -> None:
        if type(stored) is PackedObject:
            state = stored.state
            self._stored_bytes += sign * len(state.frame)
            self._json_bytes += sign * state.json_bytes
        else:
            self._stored_bytes += sign * len(stored.raw)
            self._json_bytes += sign * len(stored.raw)

    def _with_packed_head(self, stored: PackedObject) -> PackedObject:
        """Return an object whose head is packed, also if a reader of `stored` has decoded it."""
        state, head = stored.packed
        if type(head) is bytes:
            return stored
        common = self._heads.common(stored.metadata, None)
        return PackedObject(state, common, stored.resource, stored.key, None, None, stored.dictionary)

    def _pack(self, obj: KubeObject, before: KubeObject | None) -> tuple[KubeObject, int]:
        """Return the smallest form of an object, and the size of its JSON or frame.

        In the place of its earlier state it has the key of that.
        """
        raw = obj.raw
        key = self._heads.key(obj) if before is None else before.key
        if self._dictionary is None:
            return KubeObject(raw, self._heads.shared(obj.metadata, key, before), obj.resource, key), len(raw)
        packed, size = self._compressed_or_plain(raw, obj, before, key)
        self._ratio += (size / len(raw) - self._ratio) / 128
        return packed, size

    def _compressed_or_plain(
        self, raw: bytes, obj: KubeObject, before: KubeObject | None, key: ObjectKey
    ) -> tuple[KubeObject, int]:
        """Return an object compressed, if it becomes smaller by that, and the size of its JSON or frame.

        Args:
            raw: its JSON.
            obj: the object, for its head.
            before: its earlier state, or the stored form of this one.
            key: its key, as all dicts have it.
        """
        dictionary = self._dictionary
        assert dictionary is not None
        frame = dictionary.compress(raw)
        head = obj.metadata
        if len(frame) <= self._policy.worth * len(raw):
            known = packed_common_of(before) if type(before) is PackedObject else None
            try:
                common = self._heads.common(head, known if type(known) is bytes else None)
                state = pack_state(head, len(raw), frame)
            except UnpackableError:
                pass
            else:
                return PackedObject(state, common, obj.resource, key, None, None, dictionary), len(frame)
        return KubeObject(raw, self._heads.shared(head, key, before), obj.resource, key), len(raw)

    def _now_due(self) -> None:
        self._due = True
        self._wakeup.set()

    def _look(self) -> None:
        """Note that a new dictionary is due, if it is."""
        self._look_at = self._kept + self._wait
        policy = self._policy
        if self._dictionary is None:
            return
        if len(self._objects) >= policy.growth * self._made_of or self._ratio > policy.decay * self._ratio_at_first:
            self._now_due()


def _json_of(stored: KubeObject) -> bytes | None:
    """Return a stored object as JSON, without making it larger; `None` if it is damaged."""
    if type(stored) is not PackedObject:
        return stored.raw
    try:
        return stored.unpacked()
    except DecodeError:
        return None


def _size(stored: KubeObject) -> int:
    """Return the bytes of the JSON, or of its frame."""
    return len(stored.frame if type(stored) is PackedObject else stored.raw)


def _compressed(dictionary: Dictionary, raws: Sequence[bytes]) -> int:
    """Return the total compressed size of some objects."""
    return sum(len(dictionary.compress(raw)) for raw in raws)
