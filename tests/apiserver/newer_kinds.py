"""Requests for the kinds that Kubernetes 1.37 made stable, and the answers of a real server, which `tests/data` keeps.

python -m tests.apiserver.newer_kinds      # asks a real kube-apiserver 1.37, and writes the file
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    import aiohttp

KEPT = DATA / "newer-kinds-1.37.json"
BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"
REQUESTS = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
TAINTS = "/apis/resource.k8s.io/v1/devicetaintrules"
MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
SINCE = "2026-01-01T00:00:00Z"

_KINDS = {
    BUNDLES: ("certificates.k8s.io/v1", "ClusterTrustBundle"),
    REQUESTS: ("certificates.k8s.io/v1", "PodCertificateRequest"),
    TAINTS: ("resource.k8s.io/v1", "DeviceTaintRule"),
    MIGRATIONS: ("storagemigration.k8s.io/v1", "StorageVersionMigration"),
}


def _made(path: str, name: str, **spec: Any) -> list[Any]:
    version, kind = _KINDS[path]
    given = {field: value for field, value in spec.items() if value is not None}
    return ["POST", path, {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": given}]


def _condition(kind: str, state: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": state, "reason": "Done", "message": "", "lastTransitionTime": SINCE} | more


def _state(path: str, name: str, *conditions: dict[str, Any], **more: Any) -> list[Any]:
    state = more | ({"conditions": [*conditions]} if conditions else {})
    return ["PATCH", f"{path}/{name}/status", {"status": state}]


def _bundles(authority: str, leaf: str) -> list[list[Any]]:
    def bundle(name: str, text: str | None, signer: str | None = None) -> list[Any]:
        return _made(BUNDLES, name, trustBundle=text, signerName=signer)

    return [
        bundle("empty", None),
        bundle("text", "x"),
        bundle("bad", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        bundle("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        bundle("headers", "-----BEGIN CERTIFICATE-----\nA: b\n\nAAAA\n-----END CERTIFICATE-----\n"),
        bundle("leaf", leaf),
        bundle("two", authority + authority),
        bundle("several", leaf + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        bundle("signed", authority, "example.com/s"),
        bundle("a:b", authority),
        bundle("A", authority),
        bundle("example.com:s:A", authority, "example.com/s"),
        bundle("bad:x", authority, "bad"),
        bundle("bad..c:s:x", authority, "bad..c/s"),
        bundle("good", f"text\n{authority}text"),
        bundle("example.com:s:a", authority, "example.com/s"),
        ["PATCH", f"{BUNDLES}/example.com:s:a", {"spec": {"trustBundle": "x"}}],
        ["PATCH", f"{BUNDLES}/good", {"metadata": {"labels": {"a": "b"}}}],
    ]


def _requests(csr: str) -> list[list[Any]]:
    base = {"serviceAccountName": "default", "serviceAccountUID": "u", "podName": "p", "podUID": "pu", "nodeName": "n"}
    base |= {"nodeUID": "nu", "signerName": "example.com/s", "stubPKCS10Request": csr}

    def request(name: str, **spec: Any) -> list[Any]:
        return _made(REQUESTS, name, **(base | spec))

    day = 86400
    signers = ("x", "a/b/c", "a/b", "A.b/c", "a.b/C d", "a.b/", f"{'a' * 64}.b/c")
    return [
        _made(REQUESTS, "empty"),
        request("ok"),
        request("none", stubPKCS10Request=None),
        request("text", stubPKCS10Request="QUJD"),
        request("long", stubPKCS10Request=base64.b64encode(b"x" * 11_000).decode()),
        request("key", stubPKCS10Request=None, pkixPublicKey="QUJD"),
        request("short", maxExpirationSeconds=10),
        request("months", maxExpirationSeconds=91 * day + 1),
        request("kubernetes", signerName="kubernetes.io/x", maxExpirationSeconds=day + 1),
        request("below", signerName="a.kubernetes.io/x", maxExpirationSeconds=day + 1),
        *(request("signer", signerName=one) for one in signers),
        request("uid", podUID="x" * 129),
        request("name", podName="A B"),
        request("node", nodeName=None),
        request("annotation", unverifiedUserAnnotations={"a b": "c"}),
        request("domain", unverifiedUserAnnotations={"a": "c"}),
        request("denied", unverifiedUserAnnotations={"example.com/A": "c"}),
        ["PATCH", f"{REQUESTS}/ok", {"spec": {"podName": "q"}}],
        _state(REQUESTS, "ok", _condition("Other")),
        _state(REQUESTS, "ok", _condition("Denied", "False")),
        _state(REQUESTS, "ok", _condition("Denied"), _condition("Failed")),
        _state(REQUESTS, "ok", notBefore=SINCE),
        _state(REQUESTS, "ok", _condition("Denied"), notBefore=SINCE),
        _state(REQUESTS, "ok", _condition("Denied", reason="", lastTransitionTime=None)),
        _state(REQUESTS, "denied", _condition("Denied")),
        _state(REQUESTS, "denied", _condition("Denied", reason="Other")),
    ]


def _taints() -> list[list[Any]]:
    def taint(name: str, taint: dict[str, Any], **selector: Any) -> list[Any]:
        return _made(TAINTS, name, taint=taint, deviceSelector=selector or None)

    good = {"key": "a", "effect": "NoSchedule", "timeAdded": SINCE}
    return [
        _made(TAINTS, "empty"),
        taint("effect", {"key": "a"}),
        taint("other", good | {"effect": "Bad"}),
        taint("key", good | {"key": "a b"}, driver="Bad Driver"),
        taint("keys", good | {"key": "a/b/c"}, driver="x" * 64),
        taint("value", good | {"value": "b c"}, device="A"),
        taint("pool", good, pool=""),
        taint("pools", good, pool="a/B"),
        taint("good", good, pool="a/b", driver="x", device="a"),
        ["PATCH", f"{TAINTS}/good", {"spec": {"taint": {"effect": "Bad"}}}],
        _state(TAINTS, "good", {"type": "A"}),
        _state(TAINTS, "good", _condition("A"), _condition("A")),
        _state(TAINTS, "good", _condition("a b", "Maybe", reason="1", observedGeneration=-1)),
        _state(TAINTS, "good", _condition("A")),
    ]


def _migrations() -> list[list[Any]]:
    def migration(name: str, **resource: Any) -> list[Any]:
        return _made(MIGRATIONS, name, resource=resource)

    return [
        _made(MIGRATIONS, "empty"),
        migration("capital", resource="Pods"),
        migration("digit", group="a", resource="1x"),
        migration("group", group="Bad_Group", resource="x"),
        migration("ok", group="apps", resource="deployments"),
        ["PATCH", f"{MIGRATIONS}/ok", {"spec": {"resource": {"resource": "pods"}}}],
        _state(MIGRATIONS, "ok", resourceVersion="x"),
        _state(MIGRATIONS, "ok", resourceVersion="5"),
        _state(MIGRATIONS, "ok", resourceVersion="6"),
        _state(MIGRATIONS, "ok", {"type": "Succeeded", "status": "Maybe"}),
        _state(MIGRATIONS, "ok", _condition("Succeeded"), _condition("Failed")),
        _state(MIGRATIONS, "ok", _condition("Succeeded")),
        _state(MIGRATIONS, "ok", _condition("Succeeded", "False")),
    ]


async def answer(session: aiohttp.ClientSession, method: str, path: str, body: Any) -> dict[str, Any]:
    """Send one request; return its code, and the message of a refusal or the spec and status of an object."""
    headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    async with session.request(method, path, json=body, headers=headers) as response:
        given = await response.json(content_type=None)
    if response.status >= 400:
        return {"code": response.status, "message": given["message"]}
    return {"code": response.status, "spec": given["spec"], "status": given.get("status")}


async def record() -> None:
    import trustme
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding

    authority = trustme.CA()
    leaf = authority.issue_cert("a.example.com").cert_chain_pems[0].bytes().decode()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = base64.b64encode(request.sign(Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)).decode()
    asked = [*_bundles(authority.cert_pem.bytes().decode(), leaf), *_requests(csr), *_taints(), *_migrations()]
    async with real_server("1.37") as (_, session):
        rows = [[*one, await answer(session, *one)] for one in asked]
    KEPT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    asyncio.run(record())
