"""A Kubernetes API server for tests and demos: real HTTP, no cluster.

    ApiServer ── server     HTTP: routes, answers            watches   streams, bookmarks, their end
              ── access     who asks, and what they may      reads     lists, pages, selectors
              ── requests   paths, queries, headers          registry  the rules of writing
              ── views      whole, metadata, tables          storage   objects, one revision, history
              ── faults     what can be made to go wrong     catalog   resources and discovery
              ── build      manifests of common objects

It shares no code with the client or the cache, so that agreeing with it means something; each of its answers is checked
against recordings of a real kube-apiserver 1.36 (tests/fidelity).
"""

from __future__ import annotations

from kinformer.testing import build
from kinformer.testing.faults import Faults
from kinformer.testing.server import ApiServer, RequestRecord
from kinformer.testing.status import Refusal

__all__ = ["ApiServer", "Faults", "Refusal", "RequestRecord", "build"]
