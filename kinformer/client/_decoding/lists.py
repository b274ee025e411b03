"""From the body of a list to objects, in slices that leave the event loop room to breathe.

A list of 5,000 pods is 45 MB. To decode it in one call, even lazily, would hold the loop for tens of milliseconds, so
the body is cut into items here, and only cut: where an item begins is guessed from how the first one does, and proven
by decoding the head of what lies between there and the next one. That proof is complete: what begins at a bracket
inside of a JSON object, and goes on to its end, closes more than it opens, and so is no JSON value. It is cut from the
end, since CPython searches bytes backwards in a third of the time (0.6 µs per pod and not 1.9). What does not fit
(another spelling) is left to msgspec as a whole if it is short, and else to a count of brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import msgspec

from kinformer import resources
from kinformer._time_slice import give_way
from kinformer.client._decoding.watches import readable_key
from kinformer.client._http.errors import NOT_JSON
from kinformer.client._http.limits import EVENT_LIMIT
from kinformer.errors import DecodeError, ProtocolError
from kinformer.listwatch import ListPage
from kinformer.objects import KubeObject, decode_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from kinformer._declared_paths import DeclaredPaths
    from kinformer.errors import ObjectError
    from kinformer.resources import Resource

__all__ = ["ListCutter", "ObjectList", "decode_page"]

# How much is done between two turns of the loop. Measured: 1 MiB of pods takes 1.3 ms, 200 small objects 0.6 ms, so
# a machine three times as slow stays below the 5 ms that docs/architecture.md allows.
_SLICE_BYTES: Final = 1 << 20
_SLICE_OBJECTS: Final = 200

# Bytes of a list that msgspec goes over at once: 90,000 items of the least form, {}, take 15 ms.
_AT_ONCE: Final = 256 * 1024

# How many separators inside of one item are put up with.
_MISSES: Final = 16

# Objects of one page that cannot be decoded; each is an error and a line in the log. With more, the page is no list of
# this resource.
_FAILURES: Final = 10_000

# How the first item starts is how all of them start: `{"metadata":{"name":"` in the built-in resources, whose items
# carry no kind, `{"apiVersion":"example.com/v1"` in custom ones.
_ITEM_START: Final = re.compile(rb'\{"[A-Za-z]+":(\{"[A-Za-z]+":"|"[^"\\]*")?')


# The places at which the nesting changes, or a string begins.
_MARK: Final = re.compile(rb'["\[\]{}]')

# The inside of a string, up to its end or to that of the window. An escape is not cut in two.
_INSIDE: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

_WINDOW: Final = 1 << 16
"""Bytes that one search goes over at most: a single string of 16 MiB would take 80 ms."""


class _ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    # Go reads null as the value that is not there, and some servers write it.
    resource_version: str | None = ""
    continue_: str | None = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class _Envelope(msgspec.Struct, gc=False):
    metadata: _ListMetadata | None
    kind: str = ""
    items: list[msgspec.Raw] | None = None

    @property
    def version(self) -> str:
        """The resource version of the list; "" if it has none."""
        return "" if self.metadata is None else self.metadata.resource_version or ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_ITEMS: Final = re.compile(rb'"items"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}\[')


class _Name(msgspec.Struct, gc=False):
    name: Any = None
    namespace: Any = None


class _Named(msgspec.Struct, gc=False):
    """The name of an object that cannot be decoded; the rest, which may be large, is skipped."""

    metadata: _Name


_decode_named = msgspec.json.Decoder(_Named).decode


T_co = TypeVar("T_co", covariant=True)


class ObjectList(Sequence[T_co]):
    """A whole list.

    Attributes:
        items: the objects, in the server's order.
        resource_version: the version of the list.
        failures: objects that could not be decoded, or do not fit the requested class; they are left out.
    """

    __slots__ = ("failures", "items", "resource_version")

    def __init__(self, items: Sequence[T_co], resource_version: str, failures: Sequence[ObjectError] = ()) -> None:
        self.items = items
        self.resource_version = resource_version
        self.failures = failures

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"<ObjectList of {len(self.items)}, resourceVersion={self.resource_version or '?'}>"


async def decode_page(
    body: bytes, resource: Resource, *, doing: str, metadata_only: bool = False, paths: DeclaredPaths | None = None
) -> ListPage:
    """Decode one page of a list, giving way to the loop every millisecond or so.

    Args:
        body: the answer's body.
        resource: the resource that was listed.
        doing: what this is, for errors ("list pods in namespace web").
        metadata_only: the items must be PartialObjectMetadata.
        paths: the declared paths.

    Raises:
        ProtocolError: this is no list, a list of something else, or one without a resource version.
    """
    page = await _decode_sliced(body, resource, doing, metadata_only, paths)
    return page or await _decode_whole(body, resource, doing, metadata_only, paths)


async def _decode_sliced(
    body: bytes, resource: Resource, doing: str, metadata_only: bool, paths: DeclaredPaths | None
) -> ListPage | None:
    """Decode by cutting; `None` when the body cannot be cut."""
    opening = body.find(b'"items":[')
    if opening < 0:
        return None
    start = opening + len(b'"items":[')
    # What follows the items never has this sequence in it; if it had, the envelope would not decode.
    stop = body.rfind(b"}]") + 1
    first = _ITEM_START.match(body, start)
    if stop <= start or first is None:
        return None
    try:
        envelope = _decode_envelope(body[:start] + body[stop:])
    except NOT_JSON:
        return None
    _check(envelope, resource, doing, metadata_only)
    cut = await _cut(body, start, stop, b"}," + first.group(), resource, paths)
    return None if cut is None else _page(envelope, *cut)


async def _cut(
    body: bytes, start: int, stop: int, separator: bytes, resource: Resource, paths: DeclaredPaths | None
) -> tuple[list[KubeObject], list[ObjectError]] | None:
    """The items that lie between where the first of them begins and where the last has ended; `None` if they do not.

    Items that are JSON, but no objects that can be decoded, come as errors.

    Also the end may be a guess: an item begins at `start`, so what lies between there and the first separator that
    makes it a JSON value is that item, and so on. If the guess is wrong, nothing that ends there is one.
    """
    items: list[KubeObject] = []  # the last one first
    failures: list[ObjectError] = []
    rfind, decode, add = body.rfind, decode_object, items.append
    done = 0
    await give_way()
    end, slice_end = stop, stop - _SLICE_BYTES
    while end > start:
        candidate = rfind(separator, start, end)
        misses = 0
        while True:
            begin = start if candidate < 0 else candidate + 2
            text = body[begin:end]
            bounded = len(text) <= EVENT_LIMIT and len(failures) <= _FAILURES
            if bounded:
                try:
                    add(decode(text, resource, paths))
                    break
                except DecodeError as error:
                    if _is_json(text):
                        failures.append(DecodeError(error.reason, key=_key(text), resource=resource.full_name))
                        break
            # The separator was inside of an item (a StatefulSet with two claim templates).
            misses += 1
            if not bounded or candidate < 0 or misses > _MISSES:
                return None
            candidate = rfind(separator, start, candidate + len(separator) - 1)
        end = begin - 1  # over the comma
        done += 1
        if end < slice_end or done >= _SLICE_OBJECTS:
            slice_end, done = end - _SLICE_BYTES, 0
            await give_way()
    items.reverse()
    failures.reverse()
    return items, failures


def _is_json(text: bytes) -> bool:
    try:
        _decode_raw(text)
    except NOT_JSON:
        return False
    return True


def _add_failure(failures: list[ObjectError], error: DecodeError, text: bytes, resource: Resource, doing: str) -> None:
    """Add the error of an item that cannot be decoded.

    Raises:
        ProtocolError: there are too many of them.
    """
    if len(failures) >= _FAILURES:
        msg = f"cannot {doing}: more than {_FAILURES:,} objects of the list cannot be decoded; the last: {error.reason}"
        raise ProtocolError(msg)
    failures.append(DecodeError(error.reason, key=_key(text), resource=resource.full_name))


def _object_too_large(doing: str) -> ProtocolError:
    return ProtocolError(f"cannot {doing}: the server sends an object of more than {EVENT_LIMIT >> 20} MiB")


class ListCutter:
    """Takes the body of a list as it arrives, and gives the items that have come as a whole.

    A list need not come in pages of a sensible size: API servers answer one from their cache (version "0", or one
    without a limit) in one piece, 450 MB for 50,000 pods. Items that are cut out of it while it comes are never
    in memory at once. What cannot be cut is kept until all has come.

    Args:
        decode: makes a page of a whole body, at the end of the items that were not given before.
        resource: the resource that is listed.
        doing: what this is, for errors ("list pods in namespace web").
        metadata_only: the items must be PartialObjectMetadata.
        paths: the declared paths.
        cuts: whether to cut at all; a body of another form than a list comes as one page.
    """

    __slots__ = ("_came", "_decode", "_doing", "_enough", "_head", "_metadata_only", "_paths", "_pieces",
                 "_resource", "_separator", "_version", "cuts")  # fmt: skip

    def __init__(
        self,
        decode: Callable[[bytes], Awaitable[ListPage]],
        resource: Resource,
        *,
        doing: str,
        metadata_only: bool = False,
        paths: DeclaredPaths | None = None,
        cuts: bool = True,
    ) -> None:
        self.cuts = cuts
        self._decode = decode
        self._resource = resource
        self._doing = doing
        self._metadata_only = metadata_only
        self._paths = paths
        self._pieces: list[bytes] = []
        self._came = 0
        self._enough = _SLICE_BYTES
        self._head = b""  # everything before the first item, once it has come
        self._separator = b""
        self._version = ""

    @property
    def held(self) -> int:
        """The number of bytes that wait to be cut, or for the end of the body."""
        return self._came

    async def take(self, piece: bytes) -> ListPage | None:
        """Take some of the body, in its order; returns a part of the page when there is one.

        Raises:
            ProtocolError: this is no such list.
        """
        self._pieces.append(piece)
        self._came += len(piece)
        if not self.cuts or self._came < self._enough:
            return None
        body = b"".join(self._pieces)
        self._pieces = [body]
        start = 0 if self._head else self._begin(body)
        if not self.cuts:
            return None
        separator = self._separator
        end = len(body)
        for _ in range(_MISSES):
            end = body.rfind(separator, start, end + len(separator) - 1)
            if end < 0:
                # One object, so far, and a large one.
                if len(body) - start > EVENT_LIMIT:
                    raise _object_too_large(self._doing)
                self._enough = 2 * len(body)
                return None
            cut = await _cut(body, start, end + 1, separator, self._resource, self._paths)
            if cut is not None:
                items, failures = cut
                self._head = self._head or body[:start]
                rest = body[end + 2 :]
                self._pieces, self._came, self._enough = [rest], len(rest), _SLICE_BYTES
                return ListPage(items, self._version, failures=failures, partial=True)
        self.cuts = False
        return None

    async def finish(self) -> ListPage:
        """The rest of the page, when all has come.

        Raises:
            ProtocolError: this is no such list.
        """
        body = b"".join([self._head, *self._pieces])
        self._pieces = []
        return await self._decode(body)

    def _begin(self, body: bytes) -> int:
        """Return the place at which the first item begins; if it cannot be found, nothing will be cut."""
        opening = body.find(b'"items":[')
        start = opening + len(b'"items":[')
        first = _ITEM_START.match(body, start) if opening >= 0 else None
        if first is None:
            self.cuts = False
            return 0
        self._separator = b"}," + first.group()
        try:
            envelope = _decode_envelope(body[:start] + b"]}")
        except NOT_JSON:
            # As for custom resources, whose fields are sorted: the metadata comes after the items.
            self.cuts = not self._metadata_only
        else:
            _check(envelope, self._resource, self._doing, self._metadata_only)
            self._version = envelope.version
        return start


async def _decode_whole(
    body: bytes, resource: Resource, doing: str, metadata_only: bool, paths: DeclaredPaths | None
) -> ListPage:
    """Decode any list. msgspec goes over all of a short one at once; in a long one, brackets are counted in slices."""
    texts: Iterable[bytes]
    opening = _ITEMS.search(body)
    try:
        if len(body) > _AT_ONCE and opening is not None:
            envelope, texts = await _scanned(body, opening.end(), doing)
        else:
            envelope = _decode_envelope(body)
            texts = map(bytes, envelope.items or ())
    except RecursionError:
        envelope, texts = await _scanned(body, 0 if opening is None else opening.end(), doing)
    except NOT_JSON as error:
        msg = f"cannot {doing}: the answer is no list: {error}"
        raise ProtocolError(msg) from error
    _check(envelope, resource, doing, metadata_only)
    items: list[KubeObject] = []
    failures: list[ObjectError] = []
    size = done = 0
    for text in texts:
        try:
            items.append(decode_object(text, resource, paths))
        except DecodeError as error:
            _add_failure(failures, error, text, resource, doing)
        size += len(text)
        done += 1
        if size > _SLICE_BYTES or done >= _SLICE_OBJECTS:
            size = done = 0
            await give_way()
    return _page(envelope, items, failures)


async def _scanned(body: bytes, start: int, doing: str) -> tuple[_Envelope, Sequence[bytes]]:
    """Cut a list by counting brackets: slow, but with no limit to how deep an object may be nested.

    The API server takes objects of 10,000 levels, msgspec reads about 1,000. One such object, which any user may
    create, is no reason to lose all the others.
    """
    texts: list[bytes] = []
    depth = begin = tokens = 0
    stop = -1
    at = turn_end = start
    in_string = False
    while at < len(body):
        if at >= turn_end or tokens >= 2_000:
            turn_end, tokens = at + _SLICE_BYTES // 4, 0
            await give_way()
        tokens += 1
        if in_string:
            inside = _INSIDE.match(body, at, at + _WINDOW)
            end = at if inside is None else inside.end()
            in_string = body[end : end + 1] != b'"'
            if in_string and end == at:
                break  # the body ends in the middle of an escape
            at = end if in_string else end + 1
            continue
        mark = _MARK.search(body, at, at + _WINDOW)
        if mark is None:
            at += _WINDOW
            continue
        at = mark.end()
        match body[mark.start()]:
            case 0x22:  # "
                in_string = True
            case 0x7B | 0x5B:  # { [
                if depth == 0:
                    begin = mark.start()
                depth += 1
            case _:  # } ]
                depth -= 1
                if depth == 0:
                    if at - begin > EVENT_LIMIT:
                        raise _object_too_large(doing)
                    texts.append(body[begin:at])
                elif depth < 0:
                    stop = mark.start()
                    break
    try:
        return _decode_envelope(body[:start] + body[stop:]), texts
    except NOT_JSON as error:
        msg = f"cannot {doing}: the answer is no list: {error}"
        raise ProtocolError(msg) from error


_BUILT_IN: Final = frozenset(
    kind
    for each in vars(resources).values()
    if isinstance(each, resources.Resource)
    for kind in (each.kind, each.list_kind)
)
"""The kinds of Kubernetes itself, of objects and of lists. A custom resource may name the kind of its lists as it
likes, but not as the kind of its objects."""


def _page(envelope: _Envelope, items: Sequence[KubeObject], failures: Sequence[ObjectError]) -> ListPage:
    about = envelope.metadata or _ListMetadata()
    return ListPage(items, envelope.version, about.continue_ or "", about.remaining_item_count, failures)


def _check(envelope: _Envelope, resource: Resource, doing: str, metadata_only: bool) -> None:
    wanted = "PartialObjectMetadataList" if metadata_only else resource.list_kind
    if (metadata_only or envelope.kind in {"Table", "Status"}) and envelope.kind != wanted:
        msg = f"cannot {doing}: the server sends {envelope.kind or 'something'} where {wanted} was asked for"
        raise ProtocolError(msg)
    if (envelope.kind in _BUILT_IN or envelope.kind == resource.kind) and envelope.kind != wanted:
        msg = f"cannot {doing}: the answer is a {envelope.kind}, where {wanted} was asked for"
        raise ProtocolError(msg)
    if not envelope.version and envelope.kind != wanted:
        # Some APIs, such as metrics.k8s.io, send lists without a version. Then only the kind identifies the list.
        msg = f"cannot {doing}: the answer is no {wanted}: it has no resource version, its kind is {envelope.kind!r}"
        raise ProtocolError(msg)


def _key(raw: bytes) -> str | None:
    try:
        metadata = _decode_named(raw).metadata
    except NOT_JSON:
        return None
    return readable_key({"name": metadata.name, "namespace": metadata.namespace})
