"""The identity of each request: looked up before it is sent, renewed when the server refuses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinformer.config import Identity
    from kinformer.config._credentials import Credentials

__all__ = ["Authorization"]


class Authorization:
    """Gives the identity of each request; one renewal at a time serves all requests that wait for it.

    Args:
        credentials: the source of identities.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        # Also makes sure that a plugin runs once, whichever of the requests is cancelled.
        self._renewing = asyncio.Lock()

    async def identity(self) -> Identity:
        """The identity to use now.

        Raises:
            ConfigError: there are no credentials to be had.
        """
        if (identity := self._credentials.current()) is not None:
            return identity
        async with self._renewing:
            if (identity := self._credentials.current()) is not None:
                return identity
            return await self._credentials.renew()

    async def renewed(self, refused: Identity) -> Identity | None:
        """Another identity than the one that the server refused; `None` when there is no other.

        Raises:
            ConfigError: there are no credentials to be had.
        """
        async with self._renewing:
            identity = self._credentials.current()
            if identity is None or identity == refused:
                identity = await self._credentials.renew(refused=True)
        return None if identity == refused else identity
