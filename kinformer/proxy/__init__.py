"""One watch for several processes: a proxy that lists and watches once, and serves any number of readers.

`kinformer proxy pods --listen unix:/run/app/kinformer.sock` runs it. A reader is a client of the Kubernetes API:
kinformer with `ClusterConfig.for_socket`, or over loopback any client that sends its token by plain HTTP.
"""

from __future__ import annotations

from kinformer.proxy._listen import LoopbackAddress, UnixAddress, listen_address
from kinformer.proxy._server import CacheProxy
from kinformer.proxy._worker_caches import WorkerCaches, workers_can_share

__all__ = ["CacheProxy", "LoopbackAddress", "UnixAddress", "WorkerCaches", "listen_address", "workers_can_share"]
