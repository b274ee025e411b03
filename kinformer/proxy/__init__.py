"""One watch for several processes: a proxy that lists and watches once, and serves any number of readers.

`kinformer proxy pods --listen unix:/run/app/kinformer.sock` runs it. A reader is a client of the Kubernetes API:
kinformer with `ClusterConfig.for_socket`, or over loopback any client that sends its token by plain HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.proxy._listen import LoopbackAddress, UnixAddress, listen_address
from kinformer.proxy._worker_caches import WorkerCaches, workers_can_share

if TYPE_CHECKING:
    from kinformer.proxy._server import CacheProxy

__all__ = ["CacheProxy", "LoopbackAddress", "UnixAddress", "WorkerCaches", "listen_address", "workers_can_share"]


def __getattr__(name: str) -> Any:
    if name != "CacheProxy":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    # Imported when it is used: a worker that reads from another one needs no HTTP server.
    from kinformer.proxy._server import CacheProxy

    return CacheProxy
