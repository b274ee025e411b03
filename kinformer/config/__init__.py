"""Where the API server is, and who we are.

`ClusterConfig.load()` finds out as `kubectl` does; `ClusterConfig.for_server(url)` is told. kubernetes_asyncio does the
reading and merging of kubeconfig files and the legacy auth providers (OIDC, GCP), and is imported only when a
kubeconfig is read: inside a cluster, and for a server that is named, nothing of it is loaded.

What kubernetes_asyncio leaves out is here: tokens of exec plugins are renewed before they expire and after a 401, token
files and certificates are read again when they change on disk, exec plugins have a time limit and leave no process
behind, and a broken file is reported with its name, the reason and the remedy. No token ever shows in a `repr`, a log
line or an error.
"""

from __future__ import annotations

from kinformer.config._cluster import ClusterConfig
from kinformer.config._credentials import Credentials, Identity
from kinformer.config._tls import TLS, ClientCertificate, ContextCache, Pem

__all__ = ["TLS", "ClientCertificate", "ClusterConfig", "ContextCache", "Credentials", "Identity", "Pem"]
