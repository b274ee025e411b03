"""The identity of each request: looked up before it is sent, renewed when the server refuses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer._survivable import is_survivable
from kinformer.errors import ConfigError, KinformerError

if TYPE_CHECKING:
    from kinformer.config import Identity
    from kinformer.config._credentials import Credentials

__all__ = ["Authorization"]


class Authorization:
    """Looks up the identity of each request; one renewal at a time serves all requests that wait for it.

    Args:
        credentials: the source of identities.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        # Under this lock a plugin runs once, whichever of the waiting requests is cancelled.
        self._renewing = asyncio.Lock()

    async def identity(self) -> Identity:
        """Return the identity to use now.

        Raises:
            ConfigError: no credentials could be obtained.
        """
        try:
            if (identity := self._credentials.current()) is not None:
                return identity
            async with self._renewing:
                if (identity := self._credentials.current()) is not None:
                    return identity
                return await self._credentials.renew()
        except BaseException as error:
            if (failure := self._failure(error)) is None:
                raise
            raise failure from error

    async def renewed(self, refused: Identity) -> Identity | None:
        """Return another identity than the one that the server refused; `None` when there is no other.

        Raises:
            ConfigError: no credentials could be obtained.
        """
        try:
            async with self._renewing:
                identity = self._credentials.current()
                if identity is None or identity == refused:
                    identity = await self._credentials.renew(refused=True)
        except BaseException as error:
            if (failure := self._failure(error)) is None:
                raise
            raise failure from error
        return None if identity == refused else identity

    def _failure(self, error: BaseException) -> ConfigError | None:
        """Return the error to raise for what a user's own credentials raised, without its text: that may be a secret.

        `None` for an error of kinformer, and for one that nothing may go on after.
        """
        if isinstance(error, KinformerError) or not is_survivable(error):
            return None
        theirs = type(self._credentials).__qualname__
        return ConfigError(f"no credentials could be obtained: {theirs} raised {type(error).__name__}")
