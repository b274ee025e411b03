"""CertificateSigningRequests; the answers are those of a real kube-apiserver 1.36."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, Refusal

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = {"Content-Type": "application/merge-patch+json"}


def pem(block: str) -> str:
    return base64.b64encode(f"-----BEGIN {block}-----\nYWJj\n-----END {block}-----\n".encode()).decode()


def signing_request(**spec: Any) -> dict[str, Any]:
    base = {"request": pem("CERTIFICATE REQUEST"), "signerName": "example.com/signer", "usages": ["client auth"]}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": base | spec,
    }


async def test_the_requester_is_the_user_and_the_spec_stays() -> None:
    async with ApiServer(tokens={"t": "jo"}, groups={"jo": ["team"]}) as server, aiohttp.ClientSession() as http:
        headers = {"Authorization": "Bearer t"}
        body = signing_request(username="other", groups=["root"])
        async with http.post(server.url + PATH, json=body, headers=headers) as answer:
            made = await answer.json()
        assert made["spec"]["username"] == "jo"
        assert made["spec"]["groups"] == ["team", "system:authenticated"]
        patch = {"spec": {"signerName": "a.b/c"}}
        async with http.patch(f"{server.url}{PATH}/jane", json=patch, headers=headers | MERGE) as answer:
            assert answer.status == 200
            assert (await answer.json())["spec"] == made["spec"]


async def test_an_approval_gets_its_times_and_leaves_the_spec() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        server.create(signing_request())
        approved = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
        body = server.get("certificates.k8s.io/v1", "CertificateSigningRequest", "jane")
        body |= {"status": {"conditions": [approved]}, "spec": body["spec"] | {"signerName": "a.b/c"}}
        async with http.put(f"{PATH}/jane/approval", json=body) as answer:
            told = await answer.json()
        (condition,) = told["status"]["conditions"]
        assert condition["lastTransitionTime"] == condition["lastUpdateTime"]
        assert told["spec"]["signerName"] == "example.com/signer"


def test_requests_and_certificates_are_in_pem() -> None:
    server = ApiServer()
    with pytest.raises(Refusal, match="PEM block type must be CERTIFICATE REQUEST"):
        server.create(signing_request(request="YWJj"))
    server.create(signing_request())
    kind = ("certificates.k8s.io/v1", "CertificateSigningRequest", "jane")
    with pytest.raises(Refusal, match="must contain at least one CERTIFICATE PEM block"):
        server.patch(*kind, {"status": {"certificate": "YWJj"}}, subresource="status")
    signed = server.patch(*kind, {"status": {"certificate": pem("CERTIFICATE")}}, subresource="status")
    assert signed["status"]["certificate"] == pem("CERTIFICATE")


async def test_an_approval_changes_metadata_and_conditions_and_no_certificate() -> None:
    server = ApiServer()
    server.create(signing_request())
    given = {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {"signerName": "a.b/c"},
        "status": {"certificate": "Zm9v", "conditions": [{"type": "Approved", "status": "True", "reason": "r"}]},
    }
    async with (
        server,
        aiohttp.ClientSession(server.url) as http,
        http.patch(f"{PATH}/jane/approval", json=given, headers=MERGE) as answer,
    ):
        assert answer.status == 200
        made = await answer.json()
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["spec"]["signerName"] == "example.com/signer"
    assert [one["type"] for one in made["status"].pop("conditions")] == ["Approved"]
    assert made["status"] == {}
