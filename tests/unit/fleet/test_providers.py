"""Providers of clusters: files that come, change and go; Secrets and ClusterProfiles; what is refused, and why."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Client, ClusterConfig, ConfigError
from kinformer.fleet import ClusterProfiles, KubeconfigContexts, KubeconfigDirectory, KubeconfigSecrets
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinformer.fleet import Clusters, Provider

POLL = 0.01


def kubeconfig(server: str = "https://10.0.0.1:6443", *, user: dict[str, Any] | None = None, **cluster: Any) -> bytes:
    return msgspec.json.encode(
        {
            "clusters": [{"name": "x", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "x", "user": {"token": "s3cret"} if user is None else user}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
    )


def contexts(*names: str) -> bytes:
    return msgspec.json.encode(
        {
            "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"}} for name in names],
            "users": [],
            "contexts": [{"name": name, "context": {"cluster": name}} for name in names],
            "current-context": names[0] if names else "",
        }
    )


@contextlib.asynccontextmanager
async def following(provider: Provider) -> AsyncIterator[AsyncIterator[Clusters]]:
    found: Any = provider.clusters()
    async with contextlib.aclosing(found):
        yield found


async def next_of(found: AsyncIterator[Clusters]) -> dict[str, str]:
    """The servers of the next clusters, or the class of the error."""
    async with asyncio.timeout(20):
        clusters = await anext(found)
    return {name: one.server if isinstance(one, ClusterConfig) else str(one) for name, one in clusters.items()}


async def test_a_directory_has_a_cluster_per_file_and_is_followed(tmp_path: Path) -> None:
    (tmp_path / "berlin.yaml").write_bytes(kubeconfig())
    (tmp_path / ".hidden").write_bytes(kubeconfig())
    (tmp_path / "folder").mkdir()
    async with following(KubeconfigDirectory(tmp_path, poll=POLL)) as found:
        assert await next_of(found) == {"berlin": "https://10.0.0.1:6443"}
        (tmp_path / "paris.kubeconfig").write_bytes(kubeconfig("https://10.0.0.2:6443"))
        assert await next_of(found) == {"berlin": "https://10.0.0.1:6443", "paris": "https://10.0.0.2:6443"}
        (tmp_path / "berlin.yaml").unlink()
        assert await next_of(found) == {"paris": "https://10.0.0.2:6443"}
        (tmp_path / "paris.kubeconfig").write_bytes(b"{half written")
        assert "paris.kubeconfig" in (await next_of(found))["paris"]


async def test_files_that_did_not_change_keep_their_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(kubeconfig())
    async with following(KubeconfigDirectory(tmp_path, poll=POLL)) as found:
        first = (await anext(found))["a"]
        (tmp_path / "b").write_bytes(kubeconfig())
        assert (await anext(found))["a"] is first


async def test_two_files_of_one_name_are_one_cluster_and_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(kubeconfig())
    (tmp_path / "a.json").write_bytes(kubeconfig())
    async with following(KubeconfigDirectory(tmp_path, poll=POLL)) as found:
        clusters = await anext(found)
    assert isinstance(clusters["a"], ClusterConfig)
    assert "another file is cluster 'a'" in str(clusters["a.yaml"])


async def test_a_missing_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with following(KubeconfigDirectory(tmp_path / "no")) as found:
        with pytest.raises(ConfigError, match="no is no directory"):
            await anext(found)


async def test_contexts_are_clusters_and_the_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(contexts("a", "b"))
    async with following(KubeconfigContexts(kubeconfig=path, poll=POLL)) as found:
        assert await next_of(found) == {"a": "https://a:6443", "b": "https://b:6443"}
        path.write_bytes(contexts("b", "longer-name"))
        assert await next_of(found) == {"b": "https://b:6443", "longer-name": "https://longer-name:6443"}


async def test_named_contexts_are_the_only_clusters_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(contexts("a", "b"))
    async with following(KubeconfigContexts("b", "c", kubeconfig=path)) as found:
        clusters = await next_of(found)
    assert clusters == {"b": "https://b:6443", "c": "there is no context 'c'; the contexts there are: a, b"}


async def test_a_file_in_the_place_of_a_context_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(contexts("a"))
    async with following(KubeconfigContexts(str(path), kubeconfig=path)) as found:
        clusters = await next_of(found)
    assert clusters[str(path)].endswith(f"the contexts there are: a; a file is KubeconfigContexts(kubeconfig='{path}')")
    not_text: Any = path
    with pytest.raises(TypeError, match="a file is KubeconfigContexts\\(kubeconfig=PosixPath"):
        KubeconfigContexts(not_text)


@pytest.mark.parametrize("poll", [0, -1])
def test_a_pause_of_no_seconds_is_refused(poll: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="poll"):
        KubeconfigDirectory(tmp_path, poll=poll)
    with pytest.raises(ValueError, match="poll"):
        KubeconfigContexts(poll=poll)


# Objects of a cluster


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as opened:
        yield opened


def secret(name: str, content: bytes, labels: dict[str, str], key: str = "kubeconfig") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "data": {key: base64.b64encode(content).decode()}}  # fmt: skip


LABELS = {"sigs.k8s.io/multicluster-runtime-kubeconfig": "true"}


async def test_labelled_secrets_are_clusters_and_are_followed(server: ApiServer, client: Client) -> None:
    server.create(secret("berlin", kubeconfig(), LABELS))
    server.create(secret("other", kubeconfig(), {}))
    async with following(KubeconfigSecrets(client, "default")) as found:
        assert await next_of(found) == {"berlin": "https://10.0.0.1:6443"}
        server.create(secret("paris", b"no: kubeconfig", LABELS))
        assert "Secret default/paris" in (await next_of(found))["paris"]
        server.delete("v1", "Secret", "berlin")
        assert [*await next_of(found)] == ["paris"]
    assert not server.open_watches


async def test_the_secrets_of_cluster_api_are_named_by_a_label(server: ApiServer, client: Client) -> None:
    label = "cluster.x-k8s.io/cluster-name"
    server.create(secret("berlin-kubeconfig", kubeconfig(), {label: "berlin"}, key="value"))
    server.create(secret("again-kubeconfig", kubeconfig(), {label: "berlin"}, key="value"))
    provider = KubeconfigSecrets(client, "default", label_selector=label, key="value", name_label=label)
    async with following(provider) as found:
        clusters = await next_of(found)
    assert clusters["berlin"] == "https://10.0.0.1:6443"
    assert "another Secret has the same" in clusters["berlin-kubeconfig"]


@pytest.mark.parametrize(
    ("field", "user", "cluster"),
    [
        ("exec", {"exec": {"command": "/bin/sh", "apiVersion": "client.authentication.k8s.io/v1",
                           "interactiveMode": "Never"}}, {}),
        ("auth-provider", {"auth-provider": {"name": "oidc", "config": {"id-token": "s3cret"}}}, {}),
        ("tokenFile", {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}, {}),
        ("client-certificate", {"client-certificate": "/etc/hostname", "client-key": "/etc/hostname"}, {}),
        ("certificate-authority", {"token": "s3cret"}, {"certificate-authority": "/etc/hostname"}),
    ],
)  # fmt: skip
async def test_a_kubeconfig_of_a_secret_starts_no_program_and_reads_no_file(
    server: ApiServer, client: Client, field: str, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    server.create(secret("berlin", kubeconfig(user=user, **cluster), LABELS))
    async with following(KubeconfigSecrets(client, "default")) as found:
        refused = (await next_of(found))["berlin"]
    assert field in refused
    assert "is refused" in refused
    assert "s3cret" not in refused


async def test_no_error_of_a_secret_shows_a_value_of_it(server: ApiServer, client: Client) -> None:
    for number, content in enumerate(
        [b"users: [{name: a, user: {token: [s3cret]}}]", b"s3cret: {{{", b"s3cret", kubeconfig(server="s3cret://")]
    ):
        server.create(secret(f"c{number}", content, LABELS))
    server.create(secret("empty", b"", LABELS))
    server.create(secret("elsewhere", kubeconfig(), LABELS, key="other"))
    async with following(KubeconfigSecrets(client, "default")) as found:
        clusters = await anext(found)
    assert len(clusters) == 6
    for name, one in clusters.items():
        assert isinstance(one, ConfigError), name
        assert name == "c3" or "s3cret" not in str(one)


PROFILES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "clusterprofiles.multicluster.x-k8s.io",
                 "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/4322"}},
    "spec": {
        "group": "multicluster.x-k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "clusterprofiles", "singular": "clusterprofile", "kind": "ClusterProfile"},
        "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
    },
}  # fmt: skip


def profile(name: str, **status: Any) -> dict[str, Any]:
    return {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
            "metadata": {"name": name, "namespace": "default"}, "status": status}  # fmt: skip


async def test_profiles_have_their_credentials_in_secrets_of_the_consumer(server: ApiServer, client: Client) -> None:
    server.create(PROFILES)
    server.create(profile("berlin"))
    server.create(profile("paris"))
    labels = {"x-k8s.io/cluster-inventory-consumer": "mine", "x-k8s.io/cluster-profile": "berlin"}
    server.create(secret("anything", kubeconfig(), labels, key="Config"))
    async with following(ClusterProfiles(client, "default", consumer="mine")) as found:
        assert await next_of(found) == {
            "berlin": "https://10.0.0.1:6443",
            "paris": "ClusterProfile default/paris has no Secret for consumer mine; expected one",
        }
        server.create(secret("more", kubeconfig(), labels | {"x-k8s.io/cluster-profile": "paris"}, key="Config"))
        # The profiles and the Secrets come by two informers: the same clusters may come once more.
        while (await next_of(found))["paris"] != "https://10.0.0.1:6443":
            pass
        server.delete("multicluster.x-k8s.io/v1alpha1", "ClusterProfile", "berlin")
        while [*await next_of(found)] != ["paris"]:
            pass


async def test_profiles_have_their_address_in_access_providers(server: ApiServer, client: Client) -> None:
    cluster = {"server": "https://10.0.0.9:6443", "certificate-authority": "/etc/hostname"}
    server.create(PROFILES)
    server.create(profile("berlin", accessProviders=[{"name": "google", "cluster": cluster}]))
    server.create(profile("older", credentialProviders=[{"name": "google", "cluster": cluster}]))
    server.create(profile("other", accessProviders=[{"name": "amazon", "cluster": cluster}]))
    server.create(profile("odd", accessProviders=["x", {"name": 1}, {"cluster": {}}]))
    async with following(ClusterProfiles(client, "default", access={"google": {"token": "s3cret"}})) as found:
        clusters = await next_of(found)
    assert (clusters["berlin"], clusters["older"]) == ("https://10.0.0.9:6443",) * 2
    assert "offers amazon" in clusters["other"]
    assert "offers no access provider" in clusters["odd"]


async def test_a_function_makes_the_configuration_of_a_profile(server: ApiServer, client: Client) -> None:
    server.create(PROFILES)
    for name in ("works", "raises", "returns-none"):
        access = [{"name": name, "cluster": {"server": "https://10.0.0.9:6443"}}]
        server.create(profile(name, accessProviders=access))

    async def works(found: Any) -> ClusterConfig:
        return ClusterConfig.for_server(found.at("status.accessProviders.0.cluster.server"))

    def raises(_: Any) -> ClusterConfig:
        raise ValueError("s3cret")

    functions: dict[str, Any] = {"works": works, "raises": raises, "returns-none": lambda _: None}
    async with following(ClusterProfiles(client, "default", access=functions)) as found:
        clusters = await next_of(found)
    assert clusters["works"] == "https://10.0.0.9:6443"
    assert "raised ValueError" in clusters["raises"]
    assert "s3cret" not in clusters["raises"]
    assert "returned no ClusterConfig" in clusters["returns-none"]


@pytest.mark.parametrize("options", [{}, {"consumer": "a", "access": {}}])
def test_profiles_need_one_way_to_credentials(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either consumer= .* or access="):
        ClusterProfiles(Client(ClusterConfig.for_server("http://127.0.0.1:1")), "default", **options)
