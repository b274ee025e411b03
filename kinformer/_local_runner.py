"""The runner of each server of kinformer: when it stops, no connection stays open."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import web

__all__ = ["LocalRunner"]

_TURNS: Final = 3
"""Turns of the loop until aiohttp knows a connection: asyncio accepts it in one, makes its transport in the next, and
calls its protocol in a third."""


class LocalRunner(web.ServerRunner):  # noqa: TID251 - the one place
    """Runs a server, and closes also the connections that were accepted just before the end.

    aiohttp closes the connections that it knows. asyncio fails to make the transport of a connection whose server has
    been closed since it was accepted, and leaves the connection open. So no more are accepted first, and the server is
    closed when each connection is known.
    """

    async def cleanup(self) -> None:
        """Stop accepting, and close the server and all connections."""
        loop = asyncio.get_running_loop()
        for site in self.sites:
            server = getattr(site, "_server", None)  # of asyncio; aiohttp reads it for `addresses`
            for listening in server.sockets if server is not None else ():
                # Other loops than asyncio's own accept by other means.
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await super().cleanup()
