"""The signer of certificates for clients of the API server (pkg/controller/certificates/signer)."""

from __future__ import annotations

import base64
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.actions import SetStatus
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.rules.certificates import CERTIFICATES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from cryptography import x509

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Key

__all__ = ["signing_controller"]

_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
_USAGES: Final = ("client auth", "digital signature", "key encipherment")
_LIFETIME: Final = timedelta(days=365)
_SHORTEST: Final = timedelta(minutes=10)
_BACKDATE: Final = timedelta(minutes=5)
_SHORT: Final = timedelta(hours=8)
"""A certificate that lives less long does not end the sooner for being backdated."""


def signing_controller(on_authority: Callable[[str], None]) -> Controller:
    """Return the controller that signs approved requests of the signer `kubernetes.io/kube-apiserver-client`.

    Args:
        on_authority: called with the certificate of the authority, in PEM, before the first certificate is signed.
    """
    signer = _Signer(on_authority)
    return Controller(
        "csrsigning", partial(_sign, signer), {CERTIFICATES: lambda change, _: [change.key]}, component="csrsigning"
    )


def _sign(signer: _Signer, key: Key, cluster: Cluster) -> Iterator[Action]:
    request = cluster.get(CERTIFICATES, key)
    if request is None or request["spec"].get("signerName") != _SIGNER:
        return
    status = request.get("status") or {}
    true = {one["type"] for one in status.get("conditions") or () if one.get("status") == "True"}
    if status.get("certificate") or "Approved" not in true or true & {"Denied", "Failed"}:
        return
    fault = _fault(request["spec"].get("usages") or ())
    if fault:
        failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": fault}
        status = status | {"conditions": [*status["conditions"], failed | {"lastUpdateTime": cluster.stamp}]}
    elif certificate := signer.signed(request["spec"], cluster.now):
        status = status | {"certificate": base64.b64encode(certificate).decode()}
    else:
        return
    yield SetStatus(request | {"status": status})


def _fault(usages: Collection[str]) -> str:
    """Return why the usages are not those of a client; "" if they are."""
    for usage in usages:
        if usage not in _USAGES:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


class _Signer:
    """An authority that is made for the first request.

    Args:
        on_authority: called with its certificate.
    """

    def __init__(self, on_authority: Callable[[str], None]) -> None:
        self._on_authority = on_authority

    @cached_property
    def _authority(self) -> tuple[Any, x509.Certificate]:
        """The key and the certificate of the authority, which is younger than no clock of a test."""
        from datetime import UTC, datetime

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
        public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(3000, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage("cert sign", "digital signature", "key encipherment"), critical=True)
            .add_extension(public, critical=False)
            .sign(key, hashes.SHA256())
        )
        self._on_authority(certificate.public_bytes(Encoding.PEM).decode())
        return key, certificate

    def signed(self, spec: Manifest, now: datetime) -> bytes | None:
        """Return the certificate for a request, in PEM; `None` if the request cannot be read, or nothing can sign."""
        try:
            from cryptography import x509
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.serialization import Encoding
        except ModuleNotFoundError:
            return None
        try:
            asked = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
            if not asked.is_signature_valid:
                return None
            names = [one for one in asked.extensions if isinstance(one.value, x509.SubjectAlternativeName)]
        except ValueError:
            return None
        key, authority = self._authority
        wanted = spec.get("expirationSeconds")
        lifetime = _LIFETIME if wanted is None else min(max(timedelta(seconds=wanted), _SHORTEST), _LIFETIME)
        end = now + lifetime - (timedelta() if lifetime < _SHORT else _BACKDATE)
        public: Any = asked.public_key()
        builder = (
            x509.CertificateBuilder(authority.subject, asked.subject, public, x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(end)
            .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        if {"digital signature", "key encipherment"}.intersection(spec["usages"]):
            # The extension is left out where it names no usage, as by Go.
            builder = builder.add_extension(_key_usage(*spec["usages"]), critical=True)
        for one in names:
            builder = builder.add_extension(one.value, one.critical)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _key_usage(*usages: str) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        key_encipherment="key encipherment" in usages,
        key_cert_sign="cert sign" in usages,
        crl_sign="cert sign" in usages,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
