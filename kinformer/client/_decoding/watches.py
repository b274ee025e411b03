"""From the bytes of a watch to batches of events.

`WatchDecoder` is pure: bytes in, batches out, the same events however the bytes are cut.
`kinformer.client._watch_stream` reads the socket for it.

An event is a line, `{"type":"MODIFIED","object":{...}}`. The API server writes it in exactly this spelling, and so the
object is sliced out of the line and only its head is decoded; any other spelling takes a slower way. That this slice is
the object, and nothing but the object, shows in its decoding as one JSON value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer._any_json import decode_any
from kinformer._declared_paths import DeclaredPaths
from kinformer._heads import SMALL, label_sets
from kinformer.client._http.errors import NOT_JSON, is_status
from kinformer.client._http.limits import EMPTY_LINES_LIMIT, EVENT_LIMIT
from kinformer.client._http.response_parser import Pieces, whole
from kinformer.errors import (
    DecodeError,
    KinformerError,
    MalformedStreamError,
    ProtocolError,
    StreamBrokenError,
    api_error,
)
from kinformer.listwatch import Delta, DeltaType, WatchBatch
from kinformer.objects import KubeObject, ObjectKey, decode_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.client._http.response_parser import Buffer
    from kinformer.errors import ObjectError
    from kinformer.resources import Resource

__all__ = ["WatchDecoder", "readable_key"]

_TYPES: Final = {"MODIFIED": DeltaType.UPDATED, "ADDED": DeltaType.ADDED, "DELETED": DeltaType.DELETED}

# The first byte that differs among the types, and what an event of that type starts with.
_STARTS: Final = {ord(name[0]): (b'{"type":"%s","object":' % name.encode(), kind) for name, kind in _TYPES.items()}
_KIND_AT: Final = len('{"type":"')

# The same with as much of the object as makes all of them equally long, so that one look shows where the object begins,
# and the type. Another first field is no less right, but goes the slower way.
_OPENING: Final = len(b'{"type":"MODIFIED","object":{"')
_OPENINGS: Final = {
    (start + field)[:_OPENING]: (len(start), kind)
    for start, kind in _STARTS.values()
    for field in (b'{"kind":"', b'{"apiVersion":"', b'{"metadata":{')
}
# As a number: to look for bytes in bytes costs an exception each time, which the interpreter raises and drops.
_LINE_FEED: Final = 10
_PARTIAL: Final = "PartialObjectMetadata"

# A pretty-printed Status on a stream, with no event around it, is refused when it has not ended after so many bytes.
_DOCUMENT_LIMIT: Final = 64 * 1024
# An event without a line break is looked for in so many bytes, whenever a read ends with a bracket.
_UNENDED_LIMIT: Final = 256 * 1024
_BETWEEN: Final = b'}{"type":'

_DOCUMENT_END: Final = re.compile(rb"\n\}[ \t\r]{0,8}\n")

# Lines taken in one turn of the loop, beside those that come in chunks of their own: 10 µs each where they are garbage.
_LINES_PER_TURN: Final = 512

# Pieces taken in one turn of the loop: 5 µs each where they are small events. A read brings some 500 of them, unless
# they become small all at once.
_PIECES_PER_TURN: Final = 2048


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw()
    kind: str = ""


class _BookmarkMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _BookmarkMetadata


class _Kind(msgspec.Struct, gc=False):
    kind: str = ""


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode


class WatchDecoder:
    """Takes the bytes of one watch, in any pieces, and gives its batches.

    Args:
        resource: the resource that is watched.
        doing: what this is, for errors ("watch pods in namespace web").
        metadata_only: each object must be a PartialObjectMetadata.
        other_kinds: kinds that an object or bookmark may have beside that of the resource.
        paths: the declared paths, to which more may be added later.

    Attributes:
        behind: true if lines wait for `go_on`; nothing may be fed before.
        ended: true if an ERROR event has ended the stream.
    """

    __slots__ = (
        "_backlog",
        "_batches",
        "_behind",
        "_document",
        "_doing",
        "_empty_lines",
        "_events",
        "_failures",
        "_kind",
        "_line",
        "_other_kinds",
        "_paths",
        "_resource",
        "_started",
        "_usual_openings",
        "_version",
        "behind",
        "ended",
    )

    def __init__(
        self,
        resource: Resource,
        *,
        doing: str,
        metadata_only: bool = False,
        other_kinds: tuple[str, ...] = (),
        paths: DeclaredPaths | None = None,
    ) -> None:
        self.ended = False
        self.behind = False
        self._paths = DeclaredPaths() if paths is None else paths
        self._resource = resource
        self._doing = doing
        self._kind = kind = _PARTIAL if metadata_only else resource.kind
        self._other_kinds = other_kinds
        # How API servers begin an object: built-in ones as the first, custom ones as the second.
        self._usual_openings = (
            b'{"kind":%s,' % msgspec.json.encode(kind),
            b'{"apiVersion":%s,"kind":%s,' % (msgspec.json.encode(resource.api_version), msgspec.json.encode(kind)),
        )
        self._line = bytearray()  # that has not ended
        self._behind: tuple[bytes, int, int] | None = None  # for later: text, first line's begin, last's end
        self._backlog = b""  # of bytes that came after those lines
        self._started = False
        self._empty_lines = 0  # since the last event in another spelling than the usual
        self._document: bytearray | None = None
        self._begin()

    def _begin(self) -> None:
        self._events: list[Delta] = []
        self._failures: list[ObjectError] = []
        self._version = ""
        self._batches: list[WatchBatch] = []

    def feed(self, data: Pieces | bytes) -> list[WatchBatch]:
        """Take the bytes of one read, in the pieces in which they came; a whole line in its own piece goes fastest.

        Returns:
            The batches that it completed: none, one, or more where the end of a streaming list lies in it.

        Raises:
            ProtocolError: this is no watch: a Table, whole objects where metadata was asked for, HTML; or an event is
                larger than its bound.
        """
        batches = self.begin(data)
        while self.behind:
            batches += self.go_on()
        return batches

    def begin(self, data: Pieces | bytes) -> list[WatchBatch]:
        """As `feed`, for at most as many lines as one turn of the loop should take; `behind` says whether more wait."""
        pieces = whole(data) if isinstance(data, bytes) else data
        buffer, spans = pieces.buffer, pieces.spans
        if len(spans) > _PIECES_PER_TURN:
            self._backlog = Pieces(buffer, spans[_PIECES_PER_TURN:]).join()
            spans = spans[:_PIECES_PER_TURN]
        position = 0
        while (position := self._take_usual(buffer, spans, position)) < len(spans):
            first, position = position, position + 1
            # Pieces too small to be events are put together, as there may be thousands of them.
            while position < len(spans) and spans[position][1] - spans[position][0] < _OPENING:
                position += 1
            self._take_piece(Pieces(buffer, spans[first:position]).join())
            if self._behind is not None:
                self._backlog = Pieces(buffer, spans[position:]).join() + self._backlog
                break
        events = self._events
        if events and not self._batches and not self._failures:
            # The usual case, and for an event that comes alone each call counts.
            batch = tuple.__new__(WatchBatch, (events, self._version, False, None, ()))
            self._events, self._version = [], ""
            self.behind = (self._behind is not None or bool(self._backlog)) and not self.ended
            return [batch]
        return self._finish()

    @property
    def incomplete(self) -> bool:
        """True if a line has begun and not ended."""
        return (self._document is not None or bool(self._line)) and not self.ended

    def go_on(self) -> list[WatchBatch]:
        """Take more of the lines that wait.

        Raises:
            ProtocolError: as `feed`.
        """
        behind, self._behind = self._behind, None
        if behind is not None:
            self._take_lines(*behind)
        if self._backlog and self._behind is None:
            backlog, self._backlog = self._backlog, b""
            self._take_piece(backlog)
        return self._finish()

    def close(self) -> list[WatchBatch]:
        """Take the end of the stream: a last line may lack its line break, but not its end.

        Raises:
            StreamBrokenError: the stream ended in the middle of a line, which is left out.
            ProtocolError: as `feed`.
        """
        line, self._line = bytes(self._line), bytearray()
        document, self._document = self._document, None
        if self.ended:
            return []
        if document is not None:
            self._unwrapped(bytes(document + line))
        elif line.strip():
            try:
                _decode_event(line[line.rfind(_BETWEEN) + 1 :])
            except NOT_JSON:
                if not self._started and line.lstrip().startswith(b"<"):
                    raise self._not_events() from None
                msg = f"cannot {self._doing}: the stream ended in the middle of an event"
                raise StreamBrokenError(msg) from None
            self._take_lines(line + b"\n", 0, len(line))
        return self._finish()

    def _take_usual(self, buffer: Buffer, spans: Sequence[tuple[int, int]], position: int) -> int:
        """Take pieces from a position on, for as long as each is a whole event in the usual spelling, as nearly always.

        Returns the position of the first that is not.
        """
        if self._line or self._document is not None or self.ended:
            return position
        # This loop runs for each event of each watch: hence the local names, and no call that is not needed.
        openings, opening, resource, decode = _OPENINGS, _OPENING, self._resource, self._paths.decode
        events, usual, shared_labels = self._events, self._usual_openings, label_sets
        before, add = len(events), events.append
        for start, end in spans[position:] if position else spans:
            known = openings.get(buffer[start : start + opening])
            if known is None or buffer[end - 3 : end] != b"}}\n":
                break
            at, kind = known
            raw = buffer[start + at : end - 2]
            if not raw.startswith(usual):
                break
            # As `decode_head` does, for an object that needs no further look.
            try:
                envelope = decode(raw)
                metadata = envelope.metadata
                labels = metadata.labels
                if labels is not None:
                    metadata.labels = shared_labels[bytes(labels)]  # type: ignore[assignment]
            except NOT_JSON:
                break
            if not metadata.name or _LINE_FEED in raw or len(raw) > SMALL:
                break
            key = ObjectKey(metadata.namespace, metadata.name)
            add(Delta(kind, KubeObject(raw, metadata, resource, key, envelope)))
        taken = len(events) - before
        if taken:
            self._started = True
            self._empty_lines = 0
            self._version = events[-1].object.metadata.resource_version or self._last_version(before)
        return position + taken

    def _last_version(self, start: int) -> str:
        versions = (event.object.metadata.resource_version for event in reversed(self._events[start:]))
        return next(filter(None, versions), self._version)

    def _take_piece(self, data: bytes) -> None:
        """Take bytes that may be a part of a line, or several lines."""
        end = data.rfind(b"\n")
        if end < 0:
            self._line += data
            if len(self._line) > EVENT_LIMIT:
                msg = f"cannot {self._doing}: the server sends an event of more than {EVENT_LIMIT >> 20} MiB"
                raise ProtocolError(msg)
            if data.endswith(b"}") and len(self._line) <= _UNENDED_LIMIT and not (self.ended or self._document):
                self._take_unended()
            return
        rest = data[end + 1 :]
        if self._line:
            self._line += data[: end + 1]
            data = bytes(self._line)
            end = len(data) - 1
        if self._line or rest:
            self._line = bytearray(rest)
        self._take_lines(data, 0, end)

    def _take_unended(self) -> None:
        """Take an event that is whole though its line has not ended: some gateways drop line breaks, or delay them."""
        line = bytes(self._line)
        try:
            _decode_event(line[line.rfind(_BETWEEN) + 1 :])
        except NOT_JSON:
            return
        self._line = bytearray()
        self._take_unusual(line)

    def _take_lines(self, data: bytes, position: int, last: int) -> None:
        """Take lines of `data` from a position on, the last of which ends at `last`; after many leave the rest."""
        if self._document is not None:
            self._take_document(data[position : last + 1])
            return
        find, startswith, endswith = data.find, data.startswith, data.endswith
        starts, resource, paths, decode = _STARTS, self._resource, self._paths, decode_object
        usual = self._usual_openings
        add = self._events.append
        version = ""
        left = _LINES_PER_TURN
        while position <= last and not self.ended:
            if not left:
                self._behind = (data, position, last)
                break
            left -= 1
            end = find(b"\n", position)
            known = starts.get(data[position + _KIND_AT]) if end - position > _KIND_AT else None
            if known is not None:
                start, kind = known
                at = position + len(start)
                if startswith(start, position) and startswith(usual, at) and endswith(b"}}", position, end):
                    try:
                        thing = decode(data[at : end - 1], resource, paths)
                    except DecodeError:
                        pass  # The slow way finds out whether it is the object or the slice that is wrong.
                    else:
                        add(Delta(kind, thing))
                        version = thing.metadata.resource_version or version
                        self._started = True
                        self._empty_lines = 0
                        position = end + 1
                        continue
            if version:
                self._version = version
                version = ""
            self._take_unusual(data[position:end])
            add = self._events.append
            position = end + 1
            if self._document is not None:
                self._take_document(data[position : last + 1])
                break
        if version:
            self._version = version

    def _take_unusual(self, line: bytes) -> None:
        """Take a line that is not an ADDED, MODIFIED or DELETED in the usual spelling."""
        line = line.strip()
        if not line:
            self._take_empty_line()
            return
        self._empty_lines = 0
        try:
            event = _decode_event(line)
        except NOT_JSON as error:
            if _BETWEEN in line:
                # No JSON has this text in it, not even in a string. So it lies between two events.
                for event_text in line.replace(_BETWEEN, _BETWEEN[:1] + b"\n" + _BETWEEN[1:]).split(b"\n"):
                    if not self.ended:
                        self._take_unusual(event_text)
                return
            if not self._started:
                if line.startswith(b"<"):
                    raise self._not_events() from None
                if line == b"{":
                    self._document = bytearray(b"{\n")
                    return
            self._malformed(f"a line is not JSON ({error})")
            return
        self._started = True
        match event.type:
            case "ADDED" | "MODIFIED" | "DELETED":
                self._take_object(_TYPES[event.type], bytes(event.object))
            case "BOOKMARK":
                self._take_bookmark(bytes(event.object))
            case "ERROR":
                self._take_error(bytes(event.object))
            case "" if _is_status(line):
                self._take_error(line)
            case "" if event.kind:
                raise self._wrong_kind(event.kind)
            case other:
                # Nothing is known of its object now. client-go, too, ends the stream here (watch/decoder.go).
                self._malformed(f"{other[:40]!r} is no known type of event" if other else "a line is no event")

    def _take_empty_line(self) -> None:
        self._empty_lines += 1
        if self._empty_lines > EMPTY_LINES_LIMIT:
            msg = f"cannot {self._doing}: the server sends empty lines, more than {EMPTY_LINES_LIMIT:,} in a row"
            raise ProtocolError(msg)

    def _take_object(self, kind: DeltaType, raw: bytes) -> None:
        raw = raw.strip()
        try:
            self._check_kind(raw)
            thing = decode_object(raw, self._resource, self._paths)
        except DecodeError as error:
            if _kind_of(raw) == "Table":
                raise self._wrong_kind("Table") from None
            if not self._fail(error.reason, raw):
                self._malformed(f"an event names no object ({error.reason})")
            return
        self._events.append(Delta(kind, thing))
        self._version = thing.metadata.resource_version or self._version

    def _take_bookmark(self, raw: bytes) -> None:
        try:
            metadata = _decode_bookmark(raw).metadata
        except NOT_JSON as error:
            if _kind_of(raw) == "Table":
                raise self._wrong_kind("Table") from None
            self._malformed(f"a bookmark cannot be decoded ({error})")
            return
        self._check_kind(raw)
        self._version = metadata.resource_version or self._version
        if not metadata.resource_version and not metadata.annotations:
            self._seal()  # so that the reader knows that something has come
        # KEP-3157, "Watch list": this bookmark says that the present state has been sent.
        if metadata.annotations and metadata.annotations.get("k8s.io/initial-events-end") == "true":
            self._seal(initial_events_end=True)

    def _take_error(self, raw: bytes) -> None:
        try:
            status = decode_any(raw)
        except NOT_JSON:
            status = None
        status = status if isinstance(status, dict) else {}
        code = status.get("code")
        self.ended = True
        self._seal(error=api_error(code if isinstance(code, int) else 500, status, doing=self._doing))

    def _take_document(self, lines: bytes) -> None:
        """Take lines of a document; its end is a bracket on a line of its own."""
        assert self._document is not None
        document = self._document
        searched = max(len(document) - 12, 0)
        document += lines
        end = _DOCUMENT_END.search(document, searched)
        if end is not None or len(document) > _DOCUMENT_LIMIT:
            self._document = None
            self._unwrapped(bytes(document[: end.end()] if end is not None else document))

    def _unwrapped(self, document: bytes) -> None:
        """Take a JSON document over several lines: some proxies and servers put a pretty-printed Status on a stream."""
        if not _is_status(document):
            kind = _kind_of(document)
            raise self._wrong_kind(kind) if kind else self._not_events()
        self._take_error(document)

    def _check_kind(self, raw: bytes) -> None:
        """Refuse an object or bookmark of another kind, as client-go does: its key and version say nothing here.

        An object without a kind is taken, unless metadata was asked for: then it may be a whole one.
        """
        kind = _kind_of(raw)
        if kind is None or kind == self._kind or kind in self._other_kinds:
            return
        if kind or self._kind == _PARTIAL:
            raise self._wrong_kind(kind)

    def _malformed(self, reason: str) -> None:
        """End the stream here: what the line said is unknown, so the watch must be opened again from before it."""
        self.ended = True
        self._seal(error=MalformedStreamError(f"cannot {self._doing}: {reason}; the watch is opened again"))

    def _fail(self, reason: str, raw: bytes) -> bool:
        """Report an event that cannot be used; return whether its key can be read.

        The cache leaves that object out, until its next event.
        """
        try:
            metadata = decode_any(raw).get("metadata") if raw else None
        except (*NOT_JSON, AttributeError):
            metadata = None
        key = readable_key(metadata)
        self._failures.append(DecodeError(reason, key=key, resource=self._resource.full_name))
        if isinstance(metadata, dict) and isinstance(version := metadata.get("resourceVersion"), str) and version:
            # Without a key nothing is left out of the cache, so the version is not reached.
            self._version = version if key is not None else self._version
        return key is not None

    def _seal(self, *, initial_events_end: bool = False, error: KinformerError | None = None) -> None:
        """End the batch here."""
        self._batches.append(WatchBatch(self._events, self._version, initial_events_end, error, self._failures))
        self._events, self._failures, self._version = [], [], ""

    def _finish(self) -> list[WatchBatch]:
        self.behind = (self._behind is not None or bool(self._backlog)) and not self.ended
        if self._events or self._failures or self._version:
            self._seal()
        batches, self._batches = self._batches, []
        return batches

    def _not_events(self) -> ProtocolError:
        return ProtocolError(
            f"cannot {self._doing}: the answer is not a stream of watch events; is this an API server?"
        )

    def _wrong_kind(self, kind: str) -> ProtocolError:
        named = repr(kind[:40])[1:-1] if kind else "an object without a kind"
        return ProtocolError(f"cannot {self._doing}: the server sends {named} where {self._kind} was asked for")


def readable_key(metadata: Any) -> str | None:
    """`namespace/name` of metadata that may be anything, or `None`."""
    if not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    namespace = "" if namespace is None else namespace
    # A name with a slash in it, which no API server accepts, would make the key of another object. So would a namespace
    # of another type, if it counted as none.
    if not isinstance(name, str) or not isinstance(namespace, str) or not name or "/" in name + namespace:
        return None
    return f"{namespace}/{name}" if namespace else name


def _is_status(document: bytes) -> bool:
    try:
        return is_status(decode_any(document))
    except NOT_JSON:
        return False


def _kind_of(raw: bytes) -> str | None:
    try:
        return _decode_kind(raw).kind
    except NOT_JSON:
        return None
