"""Speaks HTTP to the API server: the verbs a controller needs, discovery, and lists and watches for informers.

_client        Client: the verbs
_requests      contents of their requests, checked        _written      the state that a write left behind
_list_watch    HttpListerWatcher: fulfils kinformer.listwatch
_tables        the same for the rows that a server would show
_discovery     the resources of a server
_decoding      from bytes of lists and watches to objects and batches
_http          requests and responses: connections, headers, codings, credentials, retries, bounds, errors
"""

from __future__ import annotations

from kinformer.client._client import Client
from kinformer.client._decoding.lists import ObjectList
from kinformer.client._discovery import ServerVersion
from kinformer.client._list_watch import HttpListerWatcher
from kinformer.client._tables import TableColumn, TableListerWatcher

__all__ = ["Client", "HttpListerWatcher", "ObjectList", "ServerVersion", "TableColumn", "TableListerWatcher"]
