"""Bounds of each part of a response, and the reason for each."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ANSWER_LIMIT",
    "CHUNK_LINE_LIMIT",
    "EMPTY_LINES_LIMIT",
    "ERROR_BODY_LIMIT",
    "EVENT_LIMIT",
    "EVENT_WITHIN",
    "HEADER_LIMIT",
    "HEAD_LIMIT",
    "HEAD_WITHIN",
    "LIST_OBJECT_LIMIT",
    "REPEATED_PAGES_LIMIT",
]

HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a response's status line and headers, informational (1xx) responses included; also of its trailers.

Common servers and proxies send 8 to 32 KiB at most.
"""

HEADER_LIMIT: Final = 128
"""Header fields of a response. aiohttp's own bound, so that lists and watches accept the same."""

CHUNK_LINE_LIMIT: Final = 256
"""Bytes of the line that gives a chunk's size, extensions included. API servers send at most 10."""

EVENT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one event of a watch, and of one object of a list: client-go's bound for events (apimachinery,
streaming.NewDecoder). etcd takes 1.5 MiB."""

EVENT_WITHIN: Final = 20.0
"""Seconds from the first to the last byte of an event of a watch. After that, a list brings the object: of lists
only the silence has a limit."""

HEAD_WITHIN: Final = 20.0
"""Seconds until the head of a watch must have come."""

EMPTY_LINES_LIMIT: Final = 1000
"""Empty lines between two events of a watch. A gateway that keeps a connection alive by one each 15 s sends some 40."""

ERROR_BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a refusal's body that are read. A Status that names 5,000 invalid fields is below 1 MiB. The rest
of a longer body stays unread, and the connection is closed."""

ANSWER_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of one answer, decompressed, that may have to be in memory at once; `Client(max_answer_bytes=...)` sets it.

A list is decoded while it arrives, so this does not limit its length. It limits the parts that cannot be decoded by
object: a single object, a table, a list of another form, and the rest of a page whose consumer takes more than
20 seconds.
"""

LIST_OBJECT_LIMIT: Final = 10_000_000
"""Objects of one list, over all its pages. etcd's largest recommended database (8 GiB) holds fewer."""

REPEATED_PAGES_LIMIT: Final = 1000
"""Pages of a list that are empty, or start with the object that an earlier page started with. An API server sends none;
one that counts pages by offsets may send some when objects change meanwhile."""
