"""Requests to the API server: the verbs that a controller needs, discovery, and lists and watches for informers.

_client        Client: construction, life cycle, discovery
_reads         the verbs that read                        _writes       the verbs that write
_verbs         requests that are answered with an object: the base of both
_requests      contents of their requests, checked        _written      the state after a write
_list_watch    HttpListerWatcher: fulfils kinformer.listwatch
_tables        the same for the rows of a server-side table
_discovery     the resources of a server
_cached        CachedClient: the verbs, answered by the caches of informers
_decoding      from bytes of lists and watches to objects and batches
_http          requests and responses: connections, headers, codings, credentials, retries, bounds, errors
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kinformer.client._client import Client
from kinformer.client._decoding.lists import ObjectList
from kinformer.client._discovery import ServerVersion
from kinformer.client._list_watch import HttpListerWatcher
from kinformer.client._tables import TableColumn, TableListerWatcher

if TYPE_CHECKING:
    from kinformer.client._cached.answers import AnsweredList, AnsweredObject, Origin
    from kinformer.client._cached.client import CachedClient
    from kinformer.client._cached.counts import CachedClientStatus

__all__ = [
    "AnsweredList",
    "AnsweredObject",
    "CachedClient",
    "CachedClientStatus",
    "Client",
    "HttpListerWatcher",
    "ObjectList",
    "Origin",
    "ServerVersion",
    "TableColumn",
    "TableListerWatcher",
]

# The cached client is a fifth of the modules of this package, and a program without informers has no use for it.
_WHEN_USED = {
    "AnsweredList": "answers",
    "AnsweredObject": "answers",
    "CachedClient": "client",
    "CachedClientStatus": "counts",
    "Origin": "answers",
}


def __getattr__(name: str) -> Any:
    if name not in _WHEN_USED:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"kinformer.client._cached.{_WHEN_USED[name]}"), name)
    globals()[name] = found
    return found
