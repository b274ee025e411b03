"""The certificate of a webhook server: from files, or made, kept in a Secret, rotated and announced here."""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from kinformer._extras import from_extra
from kinformer._own_certificates import CLOCK_SKEW, authority, issued, names_of, pem
from kinformer.errors import AlreadyExistsError, ConflictError, NotFoundError
from kinformer.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    SECRETS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.webhooks._rules import ServiceAddress
    from kinformer.webhooks._webhooks import Webhooks

__all__ = ["CertificateFiles", "CertificateSecret", "KeyPair", "Verbs"]

_log = logging.getLogger(__name__)

_LOOK_AT_FILES_EVERY: Final = 10.0
"""controller-runtime: pkg/certwatcher (the interval of its second look)."""

_LOOK_AT_SECRET_EVERY: Final = 60.0
_NAME: Final = "kinformer webhooks"
_TRIES: Final = 10
_HANDED_OVER_AFTER: Final = timedelta(minutes=5)
"""The time for which both authorities are announced before the new one signs: API servers learn of it meanwhile."""


class KeyPair(NamedTuple):
    """A certificate with its chain, and its key, in PEM.

    Attributes:
        certificate: the certificate of the server first.
        key: the private key.
    """

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "<KeyPair>"


class Verbs(Protocol):
    """The verbs of a client that a Secret and the announcement of its authority need."""

    async def get(self, resource: Resource, name: str, /, *, namespace: str | None = ...) -> KubeObject:
        """Read one object."""
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], /) -> KubeObject:
        """Create one object."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /) -> KubeObject:
        """Replace one object, in the version that it has."""
        ...


@dataclass(frozen=True)
class CertificateFiles:
    """A certificate in files, such as those of a mounted Secret; changed files are read again.

    Attributes:
        certificate: the file with the certificate and its chain in PEM.
        key: the file with the private key in PEM.
        look_every: seconds between two looks at the files.
    """

    certificate: Path | str
    key: Path | str
    look_every: float = _LOOK_AT_FILES_EVERY

    async def load(self, webhooks: Webhooks) -> KeyPair:
        """Read the files.

        Raises:
            OSError: one of them cannot be read.
        """
        del webhooks
        return await asyncio.to_thread(
            lambda: KeyPair(Path(self.certificate).read_bytes(), Path(self.key).read_bytes())
        )


@dataclass
class CertificateSecret:
    """A certificate of an authority of its own, made here, kept in a Secret, and rotated.

    All replicas share the Secret: the first one makes it, and one of them renews it. The authority is announced to the
    API server: written as `caBundle` into the configurations of the webhooks, and into the CRDs of their conversions.
    Those must exist, or come later; they are looked at again every minute.

    The service account needs get, create and update of the Secret; get and update of the configurations and CRDs.

    A certificate is renewed when a third of its time is left. The authority is renewed before its own end: the old and
    the new one are announced together for five minutes before the new one signs, and the old one stays announced as
    long as it is valid.

    Attributes:
        client: the client.
        namespace: the namespace of the Secret.
        name: the name of the Secret.
        service: the Service of the webhooks, for the names in the certificate.
        hosts: further host names and IP addresses in the certificate, for webhooks that are called by URL.
        valid: the time that a certificate is valid.
        authority_valid: the time that the authority is valid.
        announce: whether to write `caBundle`; `False` if another program does.
        look_every: seconds between two looks at the Secret.
        clock: the time.

    Raises:
        ValueError: it would have no name, or the authority would end before its certificates.
    """

    client: Verbs
    namespace: str
    name: str
    service: ServiceAddress | None = None
    hosts: Sequence[str] = ()
    valid: timedelta = timedelta(days=90)
    authority_valid: timedelta = timedelta(days=3650)
    announce: bool = True
    look_every: float = _LOOK_AT_SECRET_EVERY
    clock: Callable[[], datetime] = field(default_factory=lambda: _now, repr=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a certificate needs a name: give service= or hosts=")
        if not timedelta(0) < self.valid * 3 <= self.authority_valid:
            msg = f"valid={self.valid}: an authority must last for three certificates, and has {self.authority_valid}"
            raise ValueError(msg)

    @property
    def names(self) -> list[str]:
        """The host names and IP addresses in the certificate."""
        return [*(self.service.names if self.service else ()), *self.hosts]

    async def load(self, webhooks: Webhooks) -> KeyPair:
        """Read the Secret, make or renew its content if need be, and announce the authority.

        Raises:
            ApiError, TransportError: the Secret cannot be read or written.
            MissingDependencyError: cryptography is not installed.
        """
        for _ in range(_TRIES):
            try:
                data = await self._current()
                break
            except (AlreadyExistsError, ConflictError, NotFoundError):
                # Another replica was first; its certificate is as good.
                continue
        else:
            msg = f"the Secret {self.namespace}/{self.name} was changed {_TRIES} times by others while it was renewed"
            raise RuntimeError(msg)
        if self.announce:
            await self._announce(webhooks, data["ca.crt"])
        return KeyPair(data["tls.crt"], data["tls.key"])

    async def _current(self) -> dict[str, bytes]:
        try:
            found = await self.client.get(SECRETS, self.name, namespace=self.namespace)
        except NotFoundError:
            wanted = renewed({}, self.names, self.clock(), self.valid, self.authority_valid)
            assert wanted is not None
            metadata = {"name": self.name, "namespace": self.namespace}
            await self.client.create(
                SECRETS, {"metadata": metadata, "type": "kubernetes.io/tls", "data": _coded(wanted)}
            )
            return wanted
        manifest = found.to_dict()
        data = {name: base64.b64decode(value) for name, value in (manifest.get("data") or {}).items()}
        wanted = renewed(data, self.names, self.clock(), self.valid, self.authority_valid)
        if wanted is None:
            return data
        await self.client.replace(SECRETS, manifest | {"data": (manifest.get("data") or {}) | _coded(wanted)})
        return wanted

    async def _announce(self, webhooks: Webhooks, authority: bytes) -> None:
        bundle = base64.b64encode(authority).decode()
        places = [(MUTATINGWEBHOOKCONFIGURATIONS, webhooks.name), (VALIDATINGWEBHOOKCONFIGURATIONS, webhooks.name)]
        places += [(CUSTOMRESOURCEDEFINITIONS, name) for name in webhooks.converted]
        for resource, name in places:
            try:
                manifest = (await self.client.get(resource, name)).to_dict()
                if _set_bundle(manifest, bundle):
                    await self.client.replace(resource, manifest)
                    _log.info("%s %s has the present authority of the webhooks", resource.kind, name)
            except NotFoundError:
                _log.debug("there is no %s %s (yet) to announce the authority of the webhooks in", resource.kind, name)
            except ConflictError:
                _log.info("%s %s was changed by another program at the same time", resource.kind, name)


def _now() -> datetime:
    return datetime.now(UTC)


def _set_bundle(manifest: dict[str, Any], bundle: str) -> bool:
    """Write the authority at each place for it; returns whether one was another before."""
    if manifest["kind"] == "CustomResourceDefinition":
        conversion = manifest["spec"].get("conversion") or {}
        configs = [conversion["webhook"]["clientConfig"]] if conversion.get("strategy") == "Webhook" else []
    else:
        configs = [webhook["clientConfig"] for webhook in manifest.get("webhooks") or ()]
    late = [config for config in configs if config.get("caBundle") != bundle]
    for config in late:
        config["caBundle"] = bundle
    return bool(late)


def _coded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def renewed(
    data: Mapping[str, bytes], names: Sequence[str], now: datetime, valid: timedelta, authority_valid: timedelta
) -> dict[str, bytes] | None:
    """Return the next content of the Secret; `None` if the present one is good.

    ca.crt has all authorities that are to be trusted, the newest first; ca.key is the key of the newest. tls.crt and
    tls.key are the server's.

    Args:
        data: the present content; may be empty or unusable.
        names: the host names and IP addresses that the certificate must have.
        now: the time.
        valid: the time that a certificate is valid.
        authority_valid: the time that an authority is valid.

    Raises:
        MissingDependencyError: cryptography is not installed.
    """
    with from_extra("webhooks", "kinformer.webhooks.CertificateSecret"):
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    try:
        authorities = x509.load_pem_x509_certificates(data["ca.crt"])
        key: Any = load_pem_private_key(data["ca.key"], None)
        signs = authorities[0]
        if signs.public_key() != key.public_key():
            raise ValueError("the key is another authority's")  # noqa: TRY301 - as any other damage
    except (KeyError, ValueError, TypeError, IndexError):
        signs, key = authority(_NAME, now, authority_valid)
        return _content([signs], key, *issued(_NAME, signs, key, names, now, valid))
    living = [each for each in authorities if each.not_valid_after_utc > now] or [signs]
    try:
        server = x509.load_pem_x509_certificate(data["tls.crt"])
        own: Any = load_pem_private_key(data["tls.key"], None)
        if server.public_key() != own.public_key():
            raise ValueError("the key is another certificate's")  # noqa: TRY301 - as any other damage
    except (KeyError, ValueError, TypeError):
        # The authority is announced already, so that the new certificate is trusted at once.
        return _content(living, key, *issued(_NAME, signs, key, names, now, valid))
    if signs.not_valid_after_utc - now < valid * 2:
        # The new one is announced now, beside the old one, and signs later.
        signs, key = authority(_NAME, now, authority_valid)
        return _content([signs, *living], key, data["tls.crt"], data["tls.key"])
    has_names = names_of(server) == set(names)
    signed = server.issuer == signs.subject
    announced = now - signs.not_valid_before_utc - CLOCK_SKEW
    lifetime = server.not_valid_after_utc - server.not_valid_before_utc
    is_fresh = server.not_valid_after_utc - now > lifetime / 3
    if has_names and is_fresh and (signed or announced < _HANDED_OVER_AFTER):
        return None
    return _content(living, key, *issued(_NAME, signs, key, names, now, valid))


def _content(
    authorities: Sequence[x509.Certificate], key: EllipticCurvePrivateKey, server: bytes, server_key: bytes
) -> dict[str, bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding

    bundle = b"".join(each.public_bytes(Encoding.PEM) for each in authorities)
    return {"ca.crt": bundle, "ca.key": pem(key), "tls.crt": server, "tls.key": server_key}
