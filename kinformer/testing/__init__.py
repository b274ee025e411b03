"""Kubernetes API servers for tests and demos: one of our own in this process, and the real one beside it.

    ApiServer ── server     its life, calls without HTTP     watches     streams, bookmarks, their end
              ── handler    one request and its answer       reads       lists, pages, selectors
              ── access     users and their permissions      writes      create, update, patch, apply, delete
              ── requests   paths, queries, bodies           registry    the rules of writing
              ── views      whole, metadata, tables          life_cycle  deletion, owners, namespaces
              ── reviews    access reviews, tokens           storage     objects, one revision, history
              ── faults     faults to inject                 catalog     resources and discovery
              ── build      manifests of common objects      structure   the types of fields, the keys of lists
              ── controllers    those of a cluster, a scheduler, kubelets: Deployments get pods, and pods run

    ControlPlane ── control_plane        a real etcd and kube-apiserver on loopback: start, kill, restart, compact
                 ── control_plane_files  where the programs are, certificates, tokens
                 ── server_process       processes, and what ends them when the test run is killed (guardian)

ApiServer starts in a millisecond and can be made to go wrong in every way; ControlPlane takes seconds and is right.
ApiServer shares no code with the client or the cache, so that agreeing with it means something; each of its answers is
checked against recordings of a real kube-apiserver 1.36 (tests/fidelity), and the same scenarios pass on both servers
(tests/apiserver).
"""

from __future__ import annotations

from kinformer.testing import build
from kinformer.testing._apiserver.controllers.names import CONTROLLERS
from kinformer.testing._apiserver.http.handler import RequestRecord
from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
from kinformer.testing._apiserver.server import ApiServer
from kinformer.testing._apiserver.store.status import Refusal
from kinformer.testing._control_plane.control_plane import ControlPlane, ControlPlaneError
from kinformer.testing._control_plane.files import Binaries, BinariesNotFoundError
from kinformer.testing.faults import Faults

__all__ = [
    "CONTROLLERS",
    "ApiServer",
    "Binaries",
    "BinariesNotFoundError",
    "ControlPlane",
    "ControlPlaneError",
    "Faults",
    "PodScripts",
    "Refusal",
    "RequestRecord",
    "build",
]
