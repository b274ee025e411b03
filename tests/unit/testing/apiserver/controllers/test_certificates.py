"""Approved requests of clients are signed, and the server takes the certificates."""

from __future__ import annotations

import base64
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kinformer._connector import Connector
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from pathlib import Path

API = "certificates.k8s.io/v1"
KIND = "CertificateSigningRequest"
KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT = "kubernetes.io/kube-apiserver-client"


def _request(signer: str = CLIENT, usages: tuple[str, ...] = ("client auth",)) -> dict[str, Any]:
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "team"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane"),
        ]
    )
    asked = x509.CertificateSigningRequestBuilder(subject).sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)
    return {
        "apiVersion": API,
        "kind": KIND,
        "metadata": {"name": "jane"},
        "spec": {"request": base64.b64encode(asked).decode(), "signerName": signer, "usages": [*usages]},
    }


def _decided(server: ApiServer, kind: str = "Approved") -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": "r"}
    server.patch(API, KIND, "jane", {"status": {"conditions": [condition]}}, namespace="", subresource="approval")
    server.settle()
    found: dict[str, Any] = server.get(API, KIND, "jane")["status"]
    return found


async def test_a_signed_certificate_is_that_of_its_user(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ApiServer(controllers={"csrsigning"}, ssl_context=context, tokens={})
    server.create(_request())
    certificate = base64.b64decode(_decided(server)["certificate"])
    file = tmp_path / "jane.pem"
    file.write_bytes(certificate + KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    trusted.load_cert_chain(file)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    async with (
        server,
        aiohttp.ClientSession(server.url, connector=Connector(ssl=trusted)) as http,
        http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review) as answer,
    ):
        user = (await answer.json())["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("jane", ["team", "system:authenticated"])


@pytest.mark.parametrize(("seconds", "lifetime"), [(600, 900), (7 * 86400, 7 * 86400), (None, 365 * 86400)])
def test_a_certificate_lives_as_long_as_is_asked_up_to_a_year(seconds: int | None, lifetime: int) -> None:
    server = ApiServer(controllers={"csrsigning"})
    request = _request()
    if seconds is not None:
        request["spec"]["expirationSeconds"] = seconds
    server.create(request)
    made = x509.load_pem_x509_certificate(base64.b64decode(_decided(server)["certificate"]))
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(seconds=lifetime)
    assert [one.value for one in made.subject] == ["team", "jane"]
    assert not [one for one in made.extensions if isinstance(one.value, x509.KeyUsage)]


def test_what_is_not_approved_or_of_another_signer_is_not_signed() -> None:
    for request, kind in ((_request(), "Denied"), (_request("example.com/signer"), "Approved")):
        server = ApiServer(controllers={"csrsigning"})
        server.create(request)
        server.settle()
        assert "certificate" not in (server.get(API, KIND, "jane").get("status") or {})
        assert "certificate" not in _decided(server, kind)


@pytest.mark.parametrize(
    ("usages", "why"),
    [
        (("client auth", "server auth"), "invalid usage for client certificate: server auth"),
        (("digital signature",), "missing required usage for client certificate: client auth"),
    ],
)
def test_usages_that_are_not_those_of_a_client_fail(usages: tuple[str, ...], why: str) -> None:
    server = ApiServer(controllers={"csrsigning"})
    server.create(_request(usages=usages))
    status = _decided(server)
    assert [(one["type"], one.get("message")) for one in status["conditions"]] == [("Approved", None), ("Failed", why)]
    assert "certificate" not in status
