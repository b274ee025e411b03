"""Tables (meta/v1, Table): the rows that the server makes of objects, as `kubectl get` prints them.

A row becomes an object: the manifest of the row (metadata only) with one more member, `cells`. So informers work with
rows as with other objects.

Only the first response of a stream names the columns. A server that has no tables for a resource (an aggregated API)
sends whole objects, which have no `cells`; then there are no columns.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kinformer.client._decoding.lists import ListCutter, decode_page
from kinformer.client._decoding.watches import WatchDecoder
from kinformer.client._http.errors import NOT_JSON
from kinformer.client._list_watch import HttpListerWatcher, accept
from kinformer.errors import DecodeError, ProtocolError
from kinformer.listwatch import ListPage
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.client._http.response_parser import Pieces
    from kinformer.client._http.transport import Transport
    from kinformer.errors import ObjectError
    from kinformer.listwatch import WatchBatch
    from kinformer.resources import Resource

__all__ = ["TableColumn", "TableDecoder", "TableListerWatcher"]


class TableColumn(NamedTuple):
    """One column of a table.

    Attributes:
        name: its title, as the server writes it: "Ready".
        priority: 0 for a column of the usual output, more for one of `-o wide`.
    """

    name: str
    priority: int


class _Column(msgspec.Struct, gc=False):
    name: str
    priority: int = 0


class _Row(msgspec.Struct, gc=False):
    cells: msgspec.Raw
    object: msgspec.Raw


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class _Table(msgspec.Struct, gc=False, rename="camel"):
    kind: str = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    column_definitions: list[_Column] | None = None
    rows: list[_Row] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    object: _Table


_decode_table = msgspec.json.Decoder(_Table).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class TableListerWatcher(HttpListerWatcher):
    """Lists and watches the rows of one resource in one scope.

    Args:
        transport: as for `HttpListerWatcher`.
        resource: the resource.
        whole_objects: whether the server puts the whole object into each row, and not only its metadata.
        settings: the scope, as for `HttpListerWatcher`.

    Attributes:
        columns: those of the last response that named them; none before the first, and where the server has no tables.
    """

    columns: tuple[TableColumn, ...] = ()

    def __init__(
        self,
        transport: Callable[[], Transport],
        resource: Resource,
        *,
        whole_objects: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(transport, resource, **settings)
        if whole_objects:
            self._params.append(("includeObject", "Object"))

    @property
    def streams_lists(self) -> bool:
        """Return false: client-go reads no tables from streaming lists either."""
        return False

    def covers(self, obj: KubeObject) -> bool | None:
        """Return `None` or false, never true: only the server can make the row of an object."""
        return None if super().covers(obj) else False

    def _accept(self, *, whole_list: bool) -> str:
        del whole_list
        return f"{accept('Table')},{accept()}"

    def _cutter(self, doing: str) -> ListCutter:
        return ListCutter(partial(self._decode_page, doing=doing), self.resource, doing=doing, cuts=False)

    async def _decode_page(self, body: bytes, doing: str) -> ListPage:
        try:
            table = _decode_table(body)
        except NOT_JSON as error:
            msg = f"cannot {doing}: the answer is no table: {error}"
            raise ProtocolError(msg) from error
        if table.kind != "Table":
            self.columns = ()
            return await decode_page(body, self.resource, doing=doing)
        self._name_columns(table.column_definitions)
        items: list[KubeObject] = []
        failures: list[ObjectError] = []
        for row in table.rows or ():
            try:
                items.append(KubeObject.from_json(_with_cells(row), self.resource))
            except DecodeError as error:
                failures.append(error)
        metadata = table.metadata
        return ListPage(items, metadata.resource_version, metadata.continue_, metadata.remaining_item_count, failures)

    def _decoder(self, doing: str) -> TableDecoder:
        return TableDecoder(self.resource, doing=doing, on_columns=self._name_columns)

    def _name_columns(self, columns: list[_Column] | None) -> None:
        if columns:
            self.columns = tuple(TableColumn(column.name, column.priority) for column in columns)


class TableDecoder:
    """As `WatchDecoder`, for a watch of tables.

    Args:
        resource: the watched resource.
        doing: the request in words, for errors.
        on_columns: called with the columns when the server names them.
    """

    __slots__ = ("_inner", "_on_columns", "_rest")

    def __init__(
        self, resource: Resource, *, doing: str, on_columns: Callable[[list[_Column] | None], None] = lambda _: None
    ) -> None:
        self._inner = WatchDecoder(resource, doing=doing, other_kinds=("PartialObjectMetadata", "Table"))
        self._on_columns = on_columns
        self._rest = b""

    @property
    def ended(self) -> bool:
        """Return whether an ERROR event has ended the stream."""
        return self._inner.ended

    @property
    def behind(self) -> bool:
        """Return false: tables are for the command line, and small."""
        return False

    @property
    def incomplete(self) -> bool:
        """Return whether an event has begun and not ended."""
        return bool(self._rest.strip()) and not self.ended

    def go_on(self) -> list[WatchBatch]:
        """Return nothing: no lines wait."""
        return []

    def begin(self, data: Pieces | bytes) -> list[WatchBatch]:
        """As `feed`."""
        return self.feed(data)

    def feed(self, data: Pieces | bytes) -> list[WatchBatch]:
        """Take the bytes of one read.

        Raises:
            ProtocolError: this is no watch.
        """
        text = data if isinstance(data, bytes) else data.join()
        *lines, self._rest = (self._rest + text).split(b"\n")
        return self._inner.feed(b"".join(self._plain(line) + b"\n" for line in lines)) if lines else []

    def close(self) -> list[WatchBatch]:
        """Take the end of the stream.

        Raises:
            StreamBrokenError: it ended in the middle of a line.
            ProtocolError: this is no watch.
        """
        rest, self._rest = self._rest, b""
        taken = self._inner.feed(self._plain(rest)) if rest else []
        return taken + self._inner.close()

    def _plain(self, line: bytes) -> bytes:
        """Return a line with its row as an object; a line without a table is returned unchanged."""
        try:
            event = _decode_event(line)
        except NOT_JSON:
            return line
        if event.object.kind != "Table" or not event.object.rows:
            return line
        self._on_columns(event.object.column_definitions)
        return b'{"type":"%s","object":%s}' % (event.type.encode(), _with_cells(event.object.rows[0]))


def _with_cells(row: _Row) -> bytes:
    """Return the object of a row, with the cells of the row in it."""
    manifest = bytes(row.object).strip()
    return b'{"cells":%s,%s' % (bytes(row.cells), manifest.removeprefix(b"{"))
