"""A real kube-apiserver for the programs that record its answers, with a session that has all rights."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from kinformer._connector import Connector
from kinformer.testing import ControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["real_server"]


@asynccontextmanager
async def real_server(version: str = "") -> AsyncIterator[tuple[ControlPlane, aiohttp.ClientSession]]:
    """Run a control plane; yield it, and a session whose paths are those of its API.

    Args:
        version: its release, such as "1.37"; by default that of `ControlPlane`.
    """
    async with ControlPlane(version=version) as plane:
        connector = Connector(ssl=ssl.create_default_context(cafile=plane.ca_file))
        headers = {"Authorization": f"Bearer {plane.token}"}
        async with aiohttp.ClientSession(plane.url, headers=headers, connector=connector) as http:
            yield plane, http
