"""Who we are: where the `Authorization` of a request comes from, and how it is renewed."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer.config._tls import ClientCertificate, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.config._exec import ExecPlugin

__all__ = [
    "AuthProvider",
    "BorrowedKey",
    "Credentials",
    "ExecCredentials",
    "Identity",
    "StaticCredentials",
    "TokenFile",
    "basic",
    "bearer",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Who we say we are in one request. Shows nothing of it in its `repr`.

    Attributes:
        authorization: the value of the `Authorization` header, or "" for none.
        certificate: a client certificate that goes with it, or `None` for that of the configuration.
    """

    authorization: str = ""
    certificate: ClientCertificate | None = None


NOBODY: Final = Identity()


class Credentials(Protocol):
    """A source of identities.

    The transport asks `current` for each request, and calls `renew` when there is none or when the server refused it:
    one call at a time, however many requests wait for it.
    """

    def current(self) -> Identity | None:
        """The identity to use now; `None` when it must be renewed first."""
        ...

    async def renew(self, *, refused: bool = False) -> Identity:
        """Get an identity.

        Args:
            refused: the server answered 401 to the current one.

        Returns:
            The identity to use; one equal to the refused one when there is no other.

        Raises:
            ConfigError: there is none to be had.
        """
        ...


def bearer(token: str, *, where: str) -> Identity:
    """The identity of a bearer token (RFC 6750).

    Raises:
        ConfigError: the token is empty, or has characters no header can carry; it is not shown.
    """
    token = token.strip()
    if not token:
        msg = f"{where}: the token is empty"
        raise ConfigError(msg)
    if not (token.isascii() and token.isprintable()) or " " in token:
        msg = f"{where}: the token has spaces, line breaks or other characters that no token has"
        raise ConfigError(msg)
    return Identity(f"Bearer {token}")


def basic(username: str, password: str) -> Identity:
    """The identity of a user name and a password (RFC 7617)."""
    return Identity("Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())


class StaticCredentials:
    """An identity that never changes: a token given by hand, a client certificate, nobody."""

    __slots__ = ("_identity",)

    def __init__(self, identity: Identity = NOBODY) -> None:
        self._identity = identity

    def current(self) -> Identity:
        return self._identity

    async def renew(self, *, refused: bool = False) -> Identity:  # noqa: ARG002 - part of the protocol
        return self._identity


class TokenFile:
    """A bearer token in a file that somebody rotates, as the kubelet does with those of service accounts.

    The file is looked at for each request and read when it changed; a file that is missing for a moment leaves the
    token in use. (client-go reads it again every minute: transport/token_source.go.)
    """

    __slots__ = ("_fallback", "_identity", "_pem", "_stamp")

    def __init__(self, file: Pem, *, fallback: Identity | None = None) -> None:
        self._pem = file
        self._fallback = fallback
        self._identity: Identity | None = None
        self._stamp: tuple[int, ...] | None = None

    def current(self) -> Identity:
        """The token as the file has it.

        Raises:
            ConfigError: it has never been read, and cannot be now.
        """
        try:
            stamp = self._pem.stamp()
            if self._identity is None or stamp != self._stamp:
                self._identity = bearer(self._pem.read(), where=f"token file {self._pem}")
                self._stamp = stamp
        except (OSError, ConfigError) as error:
            known = self._identity or self._fallback
            if known is None:
                if isinstance(error, ConfigError):
                    raise
                msg = f"cannot read token file {self._pem}: {error.strerror or error}"
                raise ConfigError(msg) from error
            return known
        return self._identity

    async def renew(self, *, refused: bool = False) -> Identity:
        if refused:
            self._stamp = None  # Read it whatever its times say: some file systems are coarse about them.
        return self.current()


class ExecCredentials:
    """What an exec plugin hands out, kept until shortly before it expires or the server refuses it.

    "Shortly" is a minute, or a fifth of the lifetime where that is less. A plugin that fails then is asked again ten
    seconds later, as long as what it handed out before is still good.
    """

    __slots__ = ("_expires", "_identity", "_plugin", "_renew_at")

    def __init__(self, plugin: ExecPlugin) -> None:
        self._plugin = plugin
        self._identity: Identity | None = None
        self._expires: float | None = None
        self._renew_at: float | None = None

    def current(self) -> Identity | None:
        if self._renew_at is not None and asyncio.get_running_loop().time() >= self._renew_at:
            return None
        return self._identity

    async def renew(self, *, refused: bool = False) -> Identity:
        now = asyncio.get_running_loop().time
        try:
            credential = await self._plugin.run()
            # A plugin may hand out a certificate alone, and then there is no header.
            identity = bearer(credential.token, where=self._plugin.where) if credential.token else NOBODY
        except ConfigError as error:
            if refused or self._identity is None or self._expires is None or now() >= self._expires:
                raise
            self._renew_at = min(now() + 10.0, self._expires)
            log.warning("credentials could not be renewed, those in use are still good for a while: %s", error)
            return self._identity
        if credential.certificate:
            pair = ClientCertificate(Pem(text=credential.certificate), Pem(text=credential.key))
            identity = Identity(identity.authorization, pair)
        lifetime = credential.lifetime
        self._expires = None if lifetime is None else now() + lifetime
        self._renew_at = None if lifetime is None else now() + lifetime - min(60.0, max(lifetime, 0.0) / 5)
        self._identity = identity
        return identity


class AuthProvider:
    """The kubeconfig's legacy auth providers, OIDC and GCP, as kubernetes_asyncio does them.

    It decides itself when a token is too old; it is asked once a minute, and after a 401.
    """

    __slots__ = ("_ask", "_ask_again", "_identity", "_where")

    def __init__(self, ask: Callable[[], Awaitable[str]], *, where: str) -> None:
        """`ask` returns the value of the `Authorization` header."""
        self._ask = ask
        self._where = where
        self._identity: Identity | None = None
        self._ask_again = 0.0

    def current(self) -> Identity | None:
        return self._identity if asyncio.get_running_loop().time() < self._ask_again else None

    async def renew(self, *, refused: bool = False) -> Identity:  # noqa: ARG002 - the provider looks at the expiry only
        try:
            authorization = await self._ask()
        except Exception as error:
            msg = f"{self._where}: the auth provider gave no token: {error}"
            raise ConfigError(msg) from error
        if not authorization:
            msg = f"{self._where}: the auth provider gave no token; use an exec plugin instead"
            raise ConfigError(msg)
        identity = Identity(authorization)
        if identity != self._identity:
            self._identity = identity
        self._ask_again = asyncio.get_running_loop().time() + 60.0
        return identity


class BorrowedKey:
    """The API key of a kubernetes_asyncio `Configuration`, its refresh hook included, asked for each request."""

    __slots__ = ("_configuration",)

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    def current(self) -> None:
        return None

    async def renew(self, *, refused: bool = False) -> Identity:  # noqa: ARG002 - the hook knows of no refusals
        settings = self._configuration.auth_settings()
        if inspect.isawaitable(settings):
            settings = await settings
        value = (settings.get("BearerToken") or {}).get("value")
        return Identity(str(value)) if value else NOBODY
