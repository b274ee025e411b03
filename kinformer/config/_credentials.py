"""Credentials: the sources of the `Authorization` header, and how each is renewed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from kinformer.config._tls import ClientCertificate, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.config._exec import ExecPlugin

__all__ = [
    "BorrowedKey",
    "Credentials",
    "ExecCredentials",
    "Identity",
    "OidcToken",
    "StaticCredentials",
    "TokenFile",
    "basic",
    "bearer",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """The identity that one request presents. Its `repr` shows nothing of it.

    Attributes:
        authorization: the value of the `Authorization` header, or "" for none.
        certificate: a client certificate that goes with it, or `None` for that of the configuration.
    """

    authorization: str = ""
    certificate: ClientCertificate | None = None


NO_IDENTITY: Final = Identity()

TOKEN_LIMIT: Final = 1 << 20
"""Characters of a token: an API server takes as many bytes of all headers (Go's net/http, DefaultMaxHeaderBytes)."""


class Credentials(Protocol):
    """A source of identities.

    The transport calls `current` for each request. It calls `renew` when there is no identity, and when the server
    refused it: one call at a time, however many requests wait for it.
    """

    def current(self) -> Identity | None:
        """Return the identity to use now; `None` when it must be renewed first."""
        ...

    async def renew(self, *, refused: bool = False) -> Identity:
        """Get an identity.

        Args:
            refused: the server answered 401 to the current one.

        Returns:
            The identity to use; one equal to the refused identity when there is no other.

        Raises:
            ConfigError: no identity is available.
        """
        ...


def bearer(token: str, *, where: str) -> Identity:
    """Return the identity of a bearer token (RFC 6750).

    Raises:
        ConfigError: the token is empty, too long, or has characters that a header cannot carry. The message does not
            show it.
    """
    token = token.strip()
    if not token:
        msg = f"{where}: the token is empty"
        raise ConfigError(msg)
    if len(token) > TOKEN_LIMIT:
        msg = f"{where}: the token has {len(token):,} characters, more than an API server takes"
        raise ConfigError(msg)
    if not (token.isascii() and token.isprintable()) or " " in token:
        msg = f"{where}: the token has spaces, line breaks or other characters that no token has"
        raise ConfigError(msg)
    return Identity(f"Bearer {token}")


def basic(username: str, password: str) -> Identity:
    """Return the identity of a user name and a password (RFC 7617)."""
    return Identity("Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())


class StaticCredentials:
    """An identity that never changes: a given token, a client certificate, or none."""

    __slots__ = ("_identity",)

    def __init__(self, identity: Identity = NO_IDENTITY) -> None:
        self._identity = identity

    def current(self) -> Identity:
        return self._identity

    async def renew(self, *, refused: bool = False) -> Identity:  # noqa: ARG002 - part of the protocol
        return self._identity


class TokenFile:
    """A bearer token in a file that another program rotates, as the kubelet does for service accounts.

    Each request checks the file's state and reads the file when it changed. While the file is missing, the token in use
    stays. (client-go reads it again every minute: transport/token_source.go.)
    """

    __slots__ = ("_fallback", "_identity", "_pem", "_stamp")

    def __init__(self, file: Pem, *, fallback: Identity | None = None) -> None:
        self._pem = file
        self._fallback = fallback
        self._identity: Identity | None = None
        self._stamp: tuple[int, ...] | None = None

    def current(self) -> Identity:
        """Return the token that the file holds.

        Raises:
            ConfigError: the file was never read, and cannot be read now.
        """
        try:
            stamp = self._pem.stamp()
            if self._identity is None or stamp != self._stamp:
                text = self._pem.read().decode("utf-8", errors="replace")
                self._identity = bearer(text, where=f"token file {self._pem}")
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
    """The credential of an exec plugin, kept until shortly before it expires or the server refuses it.

    "Shortly" is a minute, or a fifth of the lifetime where that is less. If the plugin fails then, and the credential
    in use is still valid, the next attempt follows ten seconds later. A credential that has expired already when the
    plugin returns it is used for a second, so that a burst of requests does not start a plugin each.
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
            # A plugin may return a certificate alone, and then there is no header.
            identity = bearer(credential.token, where=self._plugin.where) if credential.token else NO_IDENTITY
        except ConfigError as error:
            if refused or self._identity is None or self._expires is None or now() >= self._expires:
                raise
            self._renew_at = min(now() + 10.0, self._expires)
            log.warning("credentials could not be renewed, those in use are still good for a while: %s", error)
            return self._identity
        if credential.certificate:
            pair = ClientCertificate(Pem(data=credential.certificate.encode()), Pem(data=credential.key.encode()))
            identity = Identity(identity.authorization, pair)
        lifetime = credential.lifetime
        if lifetime is None:
            self._expires = self._renew_at = None
        else:
            self._expires = now() + lifetime
            self._renew_at = now() + max(lifetime - min(60.0, max(lifetime, 0.0) / 5), _SHORTEST_USE)
        self._identity = identity
        return identity


_SHORTEST_USE: Final = 1.0
"""Seconds for which the credential of an exec plugin is used at least."""


class OidcToken:
    """The id-token of kubeconfig's legacy auth provider `oidc`, used until it expires.

    It is not renewed here. kubectl renews it and writes it back, so `renew` reads the kubeconfig again; where the token
    has expired all the same, the error recommends an exec plugin. (Renewing means to send the refresh token and the
    client's secret to the identity provider, and to write the answer into the user's kubeconfig.)
    """

    __slots__ = ("_expires", "_identity", "_read", "_where")

    def __init__(self, read: Callable[[], str | None], *, where: str) -> None:
        """`read` returns the id-token as the kubeconfig has it now. It may block, and runs in a thread."""
        self._read = read
        self._where = where
        self._identity: Identity | None = None
        self._expires = 0.0

    def current(self) -> Identity | None:
        # The expiry is a date, so the clock is the calendar's; client-go keeps ten seconds in reserve, too.
        return self._identity if time.time() < self._expires - _RESERVE else None

    async def renew(self, *, refused: bool = False) -> Identity:
        token = await asyncio.to_thread(self._read)
        if not token:
            msg = (
                f"{self._where}: auth-provider oidc has no id-token; log in with kubectl, or use an exec plugin instead"
            )
            raise ConfigError(msg)
        identity = bearer(token, where=self._where)
        self._expires = self._expiry(token)
        if time.time() >= self._expires - _RESERVE:
            msg = (
                f"{self._where}: the id-token of auth-provider oidc has expired, and kinformer does not renew it; "
                "use an exec plugin such as kubelogin instead"
            )
            raise ConfigError(msg)
        if refused and identity == self._identity:
            log.debug("the API server refused an id-token that has not expired")
        self._identity = identity
        return identity

    def _expiry(self, token: str) -> float:
        """Return when a JSON Web Token expires, in seconds since 1970; its signature is the server's business."""
        try:
            _, claims, _ = token.split(".")
            padded = claims.encode() + b"=" * (-len(claims) % 4)
            return float(msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).exp)
        except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
            msg = f"{self._where}: the id-token of auth-provider oidc is no JSON Web Token with an expiry"
            raise ConfigError(msg) from None


_RESERVE: Final = 10.0
"""Seconds before its expiry from which on an id-token is not used."""


class _Claims(msgspec.Struct):
    exp: float


class BorrowedKey:
    """The API key of a kubernetes_asyncio `Configuration`, read for each request by way of its refresh hook."""

    __slots__ = ("_configuration",)

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    def current(self) -> None:
        return None

    async def renew(self, *, refused: bool = False) -> Identity:  # noqa: ARG002 - the hook has no such argument
        settings = self._configuration.auth_settings()
        if inspect.isawaitable(settings):
            settings = await settings
        value = (settings.get("BearerToken") or {}).get("value")
        return Identity(str(value)) if value else NO_IDENTITY
