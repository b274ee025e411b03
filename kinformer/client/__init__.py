"""Speaks HTTP to the API server: the verbs a controller needs, discovery, and lists and watches for informers.

_client       Client: the verbs
_requests     what the verbs send, checked
_list_watch   HttpListerWatcher: fulfils kinformer.listwatch
_listing      the bytes of a list to objects        _watching    the bytes of a watch to batches
_tables       the same for the rows a server would show
_discovery    which resources there are
_transport    the session: connections, time limits, authorization
_wire_errors  what went wrong, as kinformer's errors
"""

from __future__ import annotations

from kinformer.client._client import Client
from kinformer.client._decoding.lists import ObjectList
from kinformer.client._discovery import ServerVersion
from kinformer.client._list_watch import HttpListerWatcher
from kinformer.client._tables import TableColumn, TableListerWatcher

__all__ = ["Client", "HttpListerWatcher", "ObjectList", "ServerVersion", "TableColumn", "TableListerWatcher"]
