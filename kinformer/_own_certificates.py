"""Certificates that kinformer makes itself: an authority, and the certificates of servers that it signs.

The functions need the package `cryptography`; their callers import it first, inside `from_extra`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["CLOCK_SKEW", "authority", "issued", "names_of", "pem"]

CLOCK_SKEW: Final = timedelta(minutes=5)
"""A new certificate is valid from a little before now on, for clients whose clocks are behind."""


def pem(key: EllipticCurvePrivateKey) -> bytes:
    """Return a private key in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority(name: str, now: datetime, valid: timedelta) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """Return a new authority, which signs the certificates of servers, and its key.

    Args:
        name: the beginning of its common name.
        now: the time.
        valid: the time that it is valid.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{name} {x509.random_serial_number():x}"[:60])
    builder = _builder(subject, subject, key, now, valid, signs=key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(signs=True), critical=True).sign(key, _hash()), key


def issued(
    name: str,
    signs: x509.Certificate,
    key: EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
    valid: timedelta,
) -> tuple[bytes, bytes]:
    """Return the certificate of a server, and its key, both in PEM.

    Args:
        name: the common name of the certificate.
        signs: the authority.
        key: the key of the authority.
        names: the host names and IP addresses.
        now: the time.
        valid: the time that the certificate is valid.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    own = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(name), signs.subject, own, now, valid, signs=key)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    builder = builder.add_extension(alternatives, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    made = builder.sign(key, _hash())
    return made.public_bytes(Encoding.PEM), pem(own)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    valid: timedelta,
    *,
    signs: EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    # Python 3.13 and later refuse a certificate without the identifiers of both keys (VERIFY_X509_STRICT, RFC 5280).
    of_the_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    of_the_signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key())
    builder = builder.add_extension(of_the_key, critical=False).add_extension(of_the_signer, critical=False)
    return builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + valid)


def _subject(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _hash() -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


def _general_name(name: str) -> x509.GeneralName:
    import ipaddress

    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the host names and addresses of a certificate."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
