"""The two servers that every scenario runs on, behind one face."""

from __future__ import annotations

import abc
import asyncio
import itertools
import secrets
import shutil
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
import trustme
import yaml

from kinformer import Client, ClusterConfig, Resource
from kinformer._connector import Connector
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from kinformer import KubeObject
    from kinformer.testing import ControlPlane

__all__ = ["USERS", "Cluster", "Embedded", "Real", "pod"]

ADMIN: Final = "kubernetes-admin"
USERS: Final = ("alice", "bob")
"""Users that may do nothing until they are granted it."""

_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
_TOKENS: Final = "/api/v1/namespaces/default/serviceaccounts"


def pod(name: str = "", **labels: str) -> dict[str, Any]:
    """A small pod; with no name, the server makes one."""
    named = {"name": name} if name else {"generateName": "made-"}
    return {
        "metadata": {**named, "labels": labels},
        "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:v1"}]},
    }


class Token(NamedTuple):
    """A bearer token of a user that can be made to expire."""

    value: str
    expire: Callable[[], Awaitable[None]]


class Cluster(abc.ABC):
    """A cluster, seen by the scenarios. Each test gets a namespace of its own in it.

    Attributes:
        name: "embedded" or "real".
        namespace: where the test works.
    """

    name: str
    namespace: str = ""
    _numbers = itertools.count(1)

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The URL, also after a restart."""

    @property
    @abc.abstractmethod
    def ca_file(self) -> Path:
        """The authority that signed its certificate."""

    @property
    @abc.abstractmethod
    def token(self) -> str:
        """The administrator's."""

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self.url.rpartition(":")[2])

    def config(self, token: str = "", url: str = "") -> ClusterConfig:
        """For a client: of the administrator, or of the owner of a token; maybe by way of a proxy."""
        return ClusterConfig.for_server(url or self.url, token=token or self.token, ca_file=self.ca_file)

    def client(self, token: str = "", url: str = "", *, connect_timeout: float = 10.0) -> Client:
        """A client, to be entered."""
        return Client(self.config(token, url), connect_timeout=connect_timeout)

    def kubeconfig(self, user: dict[str, Any] | None = None, url: str = "") -> Path:
        """A kubeconfig, by default the administrator's; a file of its own each time."""
        path = self.home / f"kubeconfig-{next(self._numbers)}"
        cluster = {"server": url or self.url, "certificate-authority": str(self.ca_file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {"token": self.token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def http(self, token: str = "") -> aiohttp.ClientSession:
        """Plain HTTP, for what must not be seen through kinformer's own eyes."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return aiohttp.ClientSession(self.url, connector=Connector(ssl=trust), headers=headers)

    async def truth(self, resource: Resource, *, namespace: str | None = None, **query: str) -> dict[str, str]:
        """The versions of all objects by key: a list from the store itself (quorum), not by kinformer."""
        items = await self.manifests(resource, namespace=namespace, **query)
        return {f"{i['metadata'].get('namespace', '')}/{i['metadata']['name']}": version_of(i) for i in items}

    async def manifests(
        self, resource: Resource, *, namespace: str | None = None, **query: str
    ) -> list[dict[str, Any]]:
        """All objects of this test's namespace (or another scope), from the store itself."""
        where = (self.namespace if namespace is None else namespace) if resource.namespaced else ""
        async with self.http() as http, http.get(resource.path(where or None), params=query) as answer:
            assert answer.status == 200, await answer.text()
            items: list[dict[str, Any]] = (await answer.json())["items"]
            return items

    @abc.abstractmethod
    async def kill(self) -> None:
        """As kill -9 does."""

    @abc.abstractmethod
    async def start(self) -> None:
        """After `kill`, with all that was stored."""

    @abc.abstractmethod
    async def restart_api_server(self) -> None:
        """The API server alone, over the same store; it knows no past from before now."""

    @abc.abstractmethod
    async def compact(self) -> None:
        """Forget the past of the store; a real API server still has the recent past in its watch cache."""

    async def forget_past(self) -> None:
        """Forget all of the past: watches and pages from before now are answered with 410."""
        await self.compact()
        await self.restart_api_server()

    @abc.abstractmethod
    async def grant(self, user: str) -> None:
        """Let a user do everything."""

    @abc.abstractmethod
    async def revoke(self, user: str) -> None:
        """Take that back."""

    @abc.abstractmethod
    async def token_for(self, user: str) -> Token:
        """A new token that can be made to expire, of a user of that name, which may do everything."""

    @abc.abstractmethod
    def client_certificate(self, user: str) -> tuple[Path, Path]:
        """A certificate that names its owner, and its key."""


def version_of(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["resourceVersion"])


def versions(objects: list[KubeObject]) -> dict[str, str]:
    """The content of a cache, in the form of `Cluster.truth`."""
    return {f"{o.namespace}/{o.name}": o.resource_version for o in objects}


class Embedded(Cluster):
    """`kinformer.testing.ApiServer`, over TLS."""

    name = "embedded"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._authority.cert_pem.write_to_path(str(home / "ca.pem"))
        self._token = secrets.token_urlsafe()
        self.server = ApiServer(tokens={self._token: ADMIN}, ssl_context=context)
        for user in USERS:
            self.server.deny(user, "*", "*")

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def ca_file(self) -> Path:
        return self.home / "ca.pem"

    @property
    def token(self) -> str:
        return self._token

    async def kill(self) -> None:
        await self.server.stop()

    async def start(self) -> None:
        await self.server.restart()

    async def restart_api_server(self) -> None:
        await self.server.restart()

    async def compact(self) -> None:
        self.server.compact()

    async def grant(self, user: str) -> None:
        self.server.allow(user)

    async def revoke(self, user: str) -> None:
        self.server.deny(user, "*", "*")

    async def token_for(self, user: str) -> Token:
        value = secrets.token_urlsafe()
        self.server.tokens[value] = user

        async def expire() -> None:
            del self.server.tokens[value]

        return Token(value, expire)

    def client_certificate(self, user: str) -> tuple[Path, Path]:
        issued = self._authority.issue_cert(common_name=user)
        number = next(self._numbers)
        certificate, key = self.home / f"{user}-{number}.pem", self.home / f"{user}-{number}-key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key


class Real(Cluster):
    """A real etcd and kube-apiserver, shared by all tests."""

    name = "real"

    def __init__(self, home: Path, plane: ControlPlane) -> None:
        super().__init__(home)
        self.plane = plane

    @property
    def url(self) -> str:
        return self.plane.url

    @property
    def ca_file(self) -> Path:
        return self.plane.ca_file

    @property
    def token(self) -> str:
        return self.plane.token

    async def kill(self) -> None:
        await self.plane.kill()

    async def start(self) -> None:
        await self.plane.start()

    async def restart_api_server(self) -> None:
        await self.plane.restart_api_server()

    async def compact(self) -> None:
        await self.plane.compact()

    async def grant(self, user: str) -> None:
        async with self.client() as client:
            await client.create(_BINDINGS, _binding(user, {"kind": "User", "name": user}))

    async def revoke(self, user: str) -> None:
        async with self.client() as client:
            await client.delete(_BINDINGS, f"test-{user}")

    async def token_for(self, user: str) -> Token:
        """Of a service account; the token is bound to a secret, and ends when that is deleted."""
        async with self.http() as http:
            account = {"metadata": {"name": user}}
            async with http.post(_TOKENS, json=account) as answer:
                assert answer.status in {201, 409}, await answer.text()
            subject = {"kind": "ServiceAccount", "name": user, "namespace": "default"}
            path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
            async with http.post(path, json=_binding(user, subject)) as answer:
                assert answer.status in {201, 409}, await answer.text()
            bound = f"{user}-{next(self._numbers)}"
            async with http.post("/api/v1/namespaces/default/secrets", json={"metadata": {"name": bound}}) as answer:
                assert answer.status == 201, await answer.text()
                uid = (await answer.json())["metadata"]["uid"]
            spec = {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": bound, "uid": uid}}
            async with http.post(f"{_TOKENS}/{user}/token", json={"spec": spec}) as answer:
                assert answer.status == 201, await answer.text()
                value = (await answer.json())["status"]["token"]

        async def expire() -> None:
            path = f"/api/v1/namespaces/default/secrets/{bound}"
            async with self.http() as http, http.delete(path) as answer:
                assert answer.status == 200
            await self._until_refused(value)

        return Token(value, expire)

    async def _until_refused(self, token: str) -> None:
        """The API server remembers for 10 seconds that a token was good."""
        async with self.http(token) as http:
            while True:
                async with http.get("/api/v1/namespaces/default") as answer:
                    if answer.status == 401:
                        return
                await asyncio.sleep(0.1)

    def client_certificate(self, user: str) -> tuple[Path, Path]:
        return self.plane.client_certificate(user)


def _binding(user: str, subject: dict[str, str]) -> dict[str, Any]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return {"metadata": {"name": f"test-{user}"}, "roleRef": role, "subjects": [subject]}


def replace_files(pair: tuple[Path, Path], places: tuple[Path, Path]) -> None:
    """Put a certificate and its key where a client looks for them, each at once (as a mounted secret changes)."""
    for source, place in zip(pair, places, strict=True):
        beside = place.with_suffix(".new")
        shutil.copy(source, beside)
        beside.replace(place)
