"""Readers of a proxy in Go, beside readers of its API server: client-go and controller-runtime must see the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import yaml

from kinformer import Client
from kinformer.config import ClusterConfig
from kinformer.proxy import CacheProxy
from kinformer.resources import PODS, Resource
from kinformer.testing import ApiServer, ControlPlane
from tests.foreign.programs import GO, keep, kept

__all__ = ["ProxyReaders"]

_LAMPS: Final = Resource("readers.example.com", "v1", "lamps", "Lamp")


class ProxyReaders:
    """The checks of readers.go; they have the methods of a `Program`."""

    name: Final = "go-readers"

    async def embedded(self) -> dict[str, str]:
        """Run the checks at a proxy of an embedded server; return the reason by check, "" if it holds."""
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = Path(folder, "server")
            # No workload runs: nothing but the checks changes the objects.
            async with ApiServer(controllers=[]) as server:
                server.write_kubeconfig(kubeconfig)
                return await _compared(ClusterConfig.for_server(server.url), kubeconfig)

    async def record(self) -> None:
        """Run the checks at a proxy of a real server, and keep what holds there."""
        async with ControlPlane() as plane:
            config = ClusterConfig.for_server(plane.url, token=plane.token, ca_file=str(plane.ca_file))
            keep(self.name, await _compared(config, plane.kubeconfig_file))

    def kept(self) -> dict[str, str]:
        """Return the reason by check at a proxy of a real server."""
        return kept(self.name)


async def _compared(config: ClusterConfig, kubeconfig: Path) -> dict[str, str]:
    assert await GO.run(kubeconfig, "", "define") == {}
    async with (
        Client(config) as client,
        # Fewer changes are kept than the checks make: one of them needs a version that is too old.
        CacheProxy(client, [PODS, _LAMPS], listen="127.0.0.1:0", window_events=50) as proxy,
    ):
        await proxy.synced()
        with tempfile.TemporaryDirectory() as folder:
            through = Path(folder, "proxy")
            through.write_text(yaml.safe_dump(proxy.kubeconfig()))  # noqa: ASYNC240 - a short file
            return await GO.run(through, SERVER_KUBECONFIG=str(kubeconfig))
