"""Configuration: the address of the API server, the trust in it, and the credentials.

`ClusterConfig.load()` finds them as `kubectl` does; `ClusterConfig.for_server(url)` takes them as arguments.

Kubeconfig files are read by kubectl's rules, types of values included (`_yaml`, `_kubeconfig_schema`, `_kubeconfig`).
Credentials of exec plugins are renewed before they expire and after a 401 (`_credentials`, `_exec`); token files and
certificates are read again when they change on disk (`_tls`). A file that cannot be used is reported with its name, the
reason and the remedy. No token shows in a `repr`, a log line or an error. kubernetes_asyncio is not imported.
"""

from __future__ import annotations

from kinformer.config._cluster import ClusterConfig
from kinformer.config._credentials import Credentials, Identity
from kinformer.config._tls import TLS, ClientCertificate, ContextCache, Pem

__all__ = ["TLS", "ClientCertificate", "ClusterConfig", "ContextCache", "Credentials", "Identity", "Pem"]
