"""The content of the Secret over time: renewed early enough, and trusted at every moment."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kinformer import Client, ClusterConfig
from kinformer.resources import SECRETS
from kinformer.testing import ApiServer
from kinformer.webhooks import CertificateFiles, CertificateSecret, ServiceAddress, Webhooks
from kinformer.webhooks._certificates import renewed

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
VALID, AUTHORITY_VALID = timedelta(days=90), timedelta(days=400)
NAMES = ["hooks.shop.svc", "127.0.0.1"]


def at(data: dict[str, bytes], now: datetime, names: list[str] = NAMES) -> dict[str, bytes] | None:
    return renewed(data, names, now, VALID, AUTHORITY_VALID)


def is_trusted(data: dict[str, bytes], now: datetime, bundle: bytes) -> bool:
    server = x509.load_pem_x509_certificate(data["tls.crt"])
    if not server.not_valid_before_utc <= now < server.not_valid_after_utc:
        return False
    for authority in x509.load_pem_x509_certificates(bundle):
        if authority.subject == server.issuer and authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
            server.verify_directly_issued_by(authority)
            return True
    return False


def test_a_new_certificate_has_the_names_and_fits_its_key() -> None:
    data = at({}, START)
    assert data is not None
    server = x509.load_pem_x509_certificate(data["tls.crt"])
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["hooks.shop.svc"]
    assert [str(each) for each in found.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert load_pem_private_key(data["tls.key"], None).public_key() == server.public_key()
    assert at(data, START) is None


def test_over_three_years_every_certificate_is_trusted_by_the_bundle_of_five_minutes_before() -> None:
    data = at({}, START)
    assert data is not None
    renewals = authorities = 0
    now = START
    while now < START + timedelta(days=1100):
        now += timedelta(days=6)
        # After a change, the next look comes soon.
        for moment in (now, now + timedelta(minutes=1), now + timedelta(minutes=6)):
            changed = at(data, moment)
            if changed is not None:
                renewals += changed["tls.crt"] != data["tls.crt"]
                authorities += changed["ca.key"] != data["ca.key"]
                before, data = data["ca.crt"], changed
                # An API server may not have the new bundle yet.
                assert is_trusted(data, moment, before)
            assert is_trusted(data, moment, data["ca.crt"])
    assert renewals >= 15
    assert authorities >= 3


def test_other_names_and_damage_make_another_certificate() -> None:
    data = at({}, START)
    assert data is not None
    other = at(data, START, ["other.shop.svc"])
    assert other is not None
    assert other["ca.crt"] == data["ca.crt"]
    for name in data:
        assert at(data | {name: b"no PEM"}, START) is not None
        assert at({each: value for each, value in data.items() if each != name}, START) is not None


async def test_replicas_share_one_certificate() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        secrets = [
            CertificateSecret(client, "default", "tls", service=ServiceAddress("default", "hooks")) for _ in range(3)
        ]
        pairs = [await secret.load(Webhooks()) for secret in secrets]
        assert len(set(pairs)) == 1
        stored = await client.get(SECRETS, "tls", namespace="default")
        assert stored.at("type") == "kubernetes.io/tls"
        assert "PRIVATE" not in repr(pairs)


async def test_changed_files_are_read_again(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    files = CertificateFiles(certificate, key)
    for content in (b"1", b"2"):
        certificate.write_bytes(content)
        key.write_bytes(content)
        assert (await files.load(Webhooks())).certificate == content


def test_a_certificate_needs_a_name_and_an_authority_that_lasts() -> None:
    client = Client(ClusterConfig.for_server("http://127.0.0.1:1"))
    with pytest.raises(ValueError, match="service= or hosts="):
        CertificateSecret(client, "default", "tls")
    with pytest.raises(ValueError, match="three certificates"):
        CertificateSecret(client, "default", "tls", hosts=["a"], valid=timedelta(days=9), authority_valid=timedelta(20))


def test_openssl_takes_the_pair(tmp_path: Path) -> None:
    data = at({}, datetime.now(UTC))
    assert data is not None
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes(data[name])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_client_with_the_strict_rules_of_python_3_13_trusts_it(tmp_path: Path) -> None:
    data = at({}, datetime.now(UTC))
    assert data is not None
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes(data[name])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cadata=data["ca.crt"].decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default since Python 3.13
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    client = trusting.wrap_bio(back, there, server_hostname="127.0.0.1")
    for side in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.version() == "TLSv1.3"
