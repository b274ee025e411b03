"""Credentials that can be replaced while a client uses them, so that a rotation needs no new client and no list."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kinformer.config import ClusterConfig, Identity

if TYPE_CHECKING:
    from kinformer.config import ClientCertificate, Credentials

__all__ = ["RotatingCredentials", "same_endpoint"]


class RotatingCredentials:
    """The credentials of the newest configuration of a cluster: its token and its client certificate.

    Open connections keep the certificate that they began with. Requests that begin later have the new one.

    Args:
        config: the first configuration.
    """

    __slots__ = ("_certificate", "_source")

    def __init__(self, config: ClusterConfig) -> None:
        self._source: Credentials = config.credentials
        self._certificate: ClientCertificate | None = config.tls.certificate

    def rotate(self, config: ClusterConfig) -> None:
        """Take the credentials of another configuration of the same endpoint."""
        self._source = config.credentials
        self._certificate = config.tls.certificate

    def using(self, config: ClusterConfig) -> ClusterConfig:
        """Return a configuration that has these credentials."""
        return replace(config, credentials=self, tls=replace(config.tls, certificate=None))

    def current(self) -> Identity | None:
        """Return the identity to use now; `None` when it must be renewed first."""
        found = self._source.current()
        return None if found is None else self._complete(found)

    async def renew(self, *, refused: bool = False) -> Identity:
        """Get an identity; that of newer credentials if they have come meanwhile.

        Raises:
            ConfigError: no identity is available.
        """
        source = self._source
        found = await source.renew(refused=refused)
        while source is not self._source:
            source = self._source
            found = source.current() or await source.renew()
        return self._complete(found)

    def _complete(self, identity: Identity) -> Identity:
        return Identity(identity.authorization, identity.certificate or self._certificate)


def same_endpoint(one: ClusterConfig, other: ClusterConfig) -> bool:
    """Return whether two configurations differ in their credentials and namespaces at most."""
    return _endpoint(one) == _endpoint(other)


def _endpoint(config: ClusterConfig) -> tuple[object, ...]:
    tls = config.tls
    headers = {name: [*values] for name, values in config.headers.items()}
    return (
        *(config.server, config.socket, config.proxy, headers, config.compression, config.compressed_streams),
        *(tls.ca, tls.server_name, tls.verify),
    )
