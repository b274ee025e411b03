"""The file of a recording: lines of JSON in gzip. docs/reference/recordings.md describes it.

The reader believes nothing: a line has a bound, a record has a type, and a damaged file gives an error that names the
record. A file that ends too early can be read up to its last whole record.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeAlias

import msgspec

from kinformer.errors import RecordingError
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Added",
    "Bookmark",
    "Change",
    "Deleted",
    "End",
    "Header",
    "Item",
    "Listed",
    "Modified",
    "Record",
    "RecordedResource",
    "Recording",
    "RecordingWriter",
    "Refused",
]

VERSION: Final = 1
"""The version of the format. A reader refuses a newer one."""

MOST_LINE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one record. An object in etcd has 1.5 MiB at most."""

MOST_RESOURCES: Final = 10_000

_GZIP: Final = 31
_PIECE: Final = 64 * 1024
_MOST_AT_ONCE: Final = 1024 * 1024
_LEVEL: Final = 6


class Header(msgspec.Struct, tag="HEADER", omit_defaults=True):
    """The first record.

    Attributes:
        format: the version of the format.
        started: the time of the first request, in RFC 3339.
        server: `gitVersion` of the API server.
        redacted: whether names and values were replaced.
        secret_data: whether the data of Secrets is in the file.
        namespace: the only namespace that was recorded; "" for all.
    """

    format: int
    started: str = ""
    server: str = ""
    redacted: bool = False
    secret_data: bool = False
    namespace: str = ""


class RecordedResource(msgspec.Struct, tag="RESOURCE", omit_defaults=True, rename="camel"):
    """One resource; all of them come before the first object.

    Attributes:
        id: the number of the resource in the records behind.
        group: the API group, "" for the core group.
        version: the version of the API group.
        plural: the name in URLs.
        kind: the kind.
        namespaced: whether its objects live in namespaces.
        singular: the singular.
        short_names: the short names.
        in_all: whether it is in the category "all".
    """

    id: int
    version: str
    plural: str
    kind: str
    group: str = ""
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    in_all: bool = False

    @classmethod
    def of(cls, number: int, resource: Resource) -> Self:
        """Return the record of a resource."""
        return cls(
            id=number,
            version=resource.version,
            plural=resource.plural,
            kind=resource.kind,
            group=resource.group,
            namespaced=resource.namespaced,
            singular=resource.singular,
            short_names=resource.short_names,
            in_all=resource.in_all,
        )

    @property
    def resource(self) -> Resource:
        """The resource.

        Raises:
            ValueError: it cannot be part of a URL.
        """
        return Resource(
            self.group,
            self.version,
            self.plural,
            self.kind,
            namespaced=self.namespaced,
            singular=self.singular,
            short_names=self.short_names,
            in_all=self.in_all,
        )


class Item(msgspec.Struct, tag="ITEM"):
    """One object of the list that the next `Listed` of the same resource completes."""

    id: int
    object: msgspec.Raw


class Listed(msgspec.Struct, tag="LISTED"):
    """A list is complete: the items before it replace all objects of the resource.

    Attributes:
        at: seconds since the start of the recording.
        id: the number of the resource.
        version: the resource version of the list.
    """

    at: float
    id: int
    version: str


class _Event(msgspec.Struct):
    """An event of a watch: the base of three records, one for each type of event.

    Attributes:
        at: seconds since the start of the recording.
        id: the number of the resource.
        object: the object as the server sent it.
    """

    at: float
    id: int
    object: msgspec.Raw


class Added(_Event, tag="ADDED"):
    """An object that is new."""


class Modified(_Event, tag="MODIFIED"):
    """An object that has changed."""


class Deleted(_Event, tag="DELETED"):
    """An object that is gone, in its last state."""


class Bookmark(msgspec.Struct, tag="BOOKMARK"):
    """The watch of a resource has reached a version without an event."""

    at: float
    id: int
    version: str


class Refused(msgspec.Struct, tag="REFUSED"):
    """The server refused the first list of a resource with this HTTP status: it is not recorded."""

    id: int
    code: int


class End(msgspec.Struct, tag="END"):
    """The last record: the file is complete."""

    at: float


Change: TypeAlias = Added | Modified | Deleted
"""An event of a watch."""

Record: TypeAlias = Header | RecordedResource | Item | Listed | Change | Bookmark | Refused | End

_decode: Final = msgspec.json.Decoder(Record).decode
_encode: Final = msgspec.json.Encoder().encode


class RecordingWriter:
    """Writes a recording to a new file that only its owner may read.

    Args:
        path: the file; it must not exist.

    Raises:
        FileExistsError: the file exists.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            msg = f"{path} exists already; name another file, or remove it"
            raise FileExistsError(msg) from error
        self._path = path
        self._file = os.fdopen(descriptor, "wb")
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self.records = 0
        """The number of records that were written."""

    def write(self, record: Record) -> None:
        """Write one record; it reaches the disk with the next `flush`.

        Raises:
            OSError: the file cannot be written to; the message names it and the remedy. So do `flush` and `close`.
        """
        with self._named_failures():
            self._file.write(self._gzip.compress(_encode(record) + b"\n"))
        self.records += 1

    def flush(self) -> None:
        """Write everything so far to the disk, so that a file whose recorder is killed can be read up to here."""
        with self._named_failures():
            self._file.write(self._gzip.flush(zlib.Z_SYNC_FLUSH))
            self._file.flush()

    def close(self) -> None:
        """Complete the file."""
        if not self._file.closed:
            with self._named_failures():
                try:
                    self._file.write(self._gzip.flush())
                finally:
                    self._file.close()

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = (
                f"cannot write to {self._path}: {error.strerror}; the part before can be replayed up to its last whole "
                "record, or record to another disk"
            )
            raise OSError(msg) from error


class Recording:
    """Reads a recording; iterate over it for its records, in their order.

        with Recording.open("out.kin") as recording:
            for record in recording:
                ...

    A file that ends too early is read up to its last whole record. `truncated` is true afterwards.

    Attributes:
        path: the file.
        header: the first record.
        resources: the resources by their numbers.
        truncated: whether the file ended before its last record, as far as it was read.
        end: the time of the last record in seconds, as far as it was read.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._number = 0
        self.truncated = False
        self.end = 0.0
        self.resources: dict[int, Resource] = {}
        self._records = self._read()
        first = next(self._records, None)
        if not isinstance(first, Header):
            raise RecordingError(f"{path} is no recording: it begins with no header")
        if first.format > VERSION:
            msg = f"{path} has format {first.format}, and this version reads up to {VERSION}; install a newer kinformer"
            raise RecordingError(msg)
        self.header = first

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a file and read its header.

        Raises:
            RecordingError: there is no such file, it is no recording, or has a newer format.
            OSError: it cannot be read.
        """
        source = Path(path)
        if not source.exists():
            raise RecordingError(f"there is no file {source}; `kinformer record {source}` makes a recording")
        # A pipe would stop the whole program until its other end is opened.
        if not stat.S_ISREG(source.stat().st_mode):
            raise RecordingError(f"{source} is no recording: it is no regular file")
        file = source.open("rb")
        try:
            return cls(source, file)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def _read(self) -> Iterator[Record]:
        complete = False
        for line in self._lines():
            self._number += 1
            if complete:
                raise self._damaged("there are records behind the last one")
            record = self._decoded(line)
            if isinstance(record, RecordedResource):
                self._take(record)
            elif not isinstance(record, Header | End) and record.id not in self.resources:
                raise self._damaged(f"there is no resource {record.id}")
            self.end = max(self.end, getattr(record, "at", 0.0))
            complete = isinstance(record, End)
            yield record
        self.truncated = self.truncated or not complete

    def _decoded(self, line: bytes) -> Record:
        try:
            record: Record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The first record of a gzip file of another kind says nothing about damage.
            if self._number == 1:
                raise RecordingError(f"{self.path} is no recording: it begins with no header") from None
            raise self._damaged(str(error) or "nested too deeply") from None
        if isinstance(record, Header) and self._number > 1:
            raise self._damaged("a header stands behind the first record")
        return record

    def _take(self, record: RecordedResource) -> None:
        if record.id in self.resources:
            raise self._damaged(f"resource {record.id} is there twice")
        if len(self.resources) >= MOST_RESOURCES:
            raise self._damaged(f"it has more than {MOST_RESOURCES} resources")
        try:
            self.resources[record.id] = record.resource
        except ValueError as error:
            raise self._damaged(str(error)) from None

    def _lines(self) -> Iterator[bytes]:
        gunzip = zlib.decompressobj(_GZIP)
        rest = b""
        at_start = True
        while not gunzip.eof:
            piece = self._file.read(_PIECE)
            if at_start and piece[:2] != b"\x1f\x8b":
                raise RecordingError(f"{self.path} is no recording: it is not compressed with gzip")
            at_start = False
            if not piece:
                self.truncated = True
                return
            while piece:
                try:
                    text = gunzip.decompress(piece, _MOST_AT_ONCE)
                except zlib.error as error:
                    raise self._damaged(str(error)) from None
                piece = gunzip.unconsumed_tail
                lines = (rest + text).split(b"\n")
                rest = lines.pop()
                if len(rest) > MOST_LINE_BYTES:
                    raise self._damaged(f"it has a record of more than {MOST_LINE_BYTES} bytes")
                yield from lines
        if gunzip.unused_data or self._file.read(1):
            raise self._damaged("there are bytes behind the end of the compressed data")
        if rest:
            self.truncated = True

    def _damaged(self, why: str) -> RecordingError:
        return RecordingError(f"{self.path} is damaged behind record {max(self._number - 1, 0)}: {why}")
