"""Providers that read the clusters from objects of one cluster: labelled Secrets, and ClusterProfiles (KEP-4322)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import logging
from typing import TYPE_CHECKING, Any, Final

from kinformer.config import ClusterConfig
from kinformer.errors import ConfigError, StoppedError
from kinformer.informer.factory import SharedInformerFactory
from kinformer.resources import SECRETS, Resource
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from kinformer.client import Client
    from kinformer.fleet.providers import Clusters
    from kinformer.informer import SharedInformer
    from kinformer.objects import KubeObject

__all__ = ["CLUSTER_PROFILES", "ClusterProfiles", "KubeconfigSecrets"]

_log = logging.getLogger("kinformer.fleet")

CLUSTER_PROFILES: Final = Resource("multicluster.x-k8s.io", "v1alpha1", "clusterprofiles", "ClusterProfile")
"""The resource of KEP-4322, from sigs.k8s.io/cluster-inventory-api."""

# sigs.k8s.io/multicluster-runtime: providers/kubeconfig/provider.go
KUBECONFIG_LABEL: Final = "sigs.k8s.io/multicluster-runtime-kubeconfig=true"

# KEP-4322: the labels of Secrets for a ClusterProfile; cluster-inventory-api docs.
_CONSUMER: Final = "x-k8s.io/cluster-inventory-consumer"
_PROFILE: Final = "x-k8s.io/cluster-profile"
_PROFILE_KEY: Final = "Config"


class KubeconfigSecrets:
    """Secrets that each hold the kubeconfig of a cluster. They are followed by an informer.

    The name of a cluster is that of its Secret; with `name_label`, the value of that label. Both defaults are those of
    multicluster-runtime. For Cluster API: `label_selector="cluster.x-k8s.io/cluster-name", key="value",
    name_label="cluster.x-k8s.io/cluster-name"`.

    A kubeconfig that names an exec plugin, an auth provider or a file is refused. Write access to such
    a Secret would be enough to run any program here, or to have the token of this program's service account sent to a
    server.

    Args:
        client: the client of the cluster that has the Secrets; it must be entered.
        namespace: their namespace.
        label_selector: which Secrets count; the server selects.
        key: the key of the kubeconfig in `data`.
        name_label: the label that has the name of the cluster.
        trusted: whether exec plugins and files are allowed all the same.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        *,
        label_selector: str = KUBECONFIG_LABEL,
        key: str = "kubeconfig",
        name_label: str = "",
        trusted: bool = False,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._key = key
        self._name_label = name_label
        self._trusted = trusted
        self._known: dict[str, tuple[tuple[str, str], ClusterConfig | ConfigError]] = {}

    @property
    def reads(self) -> dict[Resource, str]:
        """Return the resources that are listed and watched, each with its namespace."""
        return {SECRETS: self._namespace}

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield the clusters of the Secrets when these have changed.

        Raises:
            StoppedError: the informer has ended.
        """
        factory = SharedInformerFactory(self._client, namespace=self._namespace)
        secrets = factory.informer(SECRETS, label_selector=self._label_selector)
        async with factory:
            async for _ in _changes(secrets):
                yield self._read(secrets)

    def _read(self, secrets: SharedInformer) -> Clusters:
        found: dict[str, ClusterConfig | ConfigError] = {}
        known = {}
        for secret in sorted(secrets.lister, key=lambda one: one.name):
            name = secret.labels.get(self._name_label, "") if self._name_label else secret.name
            version = (secret.uid, secret.resource_version)
            before = self._known.get(secret.name)
            if before is not None and before[0] == version:
                config = before[1]
            else:
                config = config_of_secret(secret, self._key, trusted=self._trusted)
            known[secret.name] = (version, config)
            if not name or name in found:
                other = "another Secret has the same" if name else "it has no value"
                found[secret.name] = ConfigError(f"Secret {secret.key}: label {self._name_label}: {other}")
            else:
                found[name] = config
        self._known = known
        return found


class ClusterProfiles:
    """ClusterProfile objects (KEP-4322). They and their Secrets are followed by informers.

    The name of a cluster is that of its profile. There are two ways to its credentials:

    - with `consumer`, a Secret in the namespace of the profile, with the labels `x-k8s.io/cluster-inventory-consumer`
      (this name) and `x-k8s.io/cluster-profile` (the name of the profile), and a kubeconfig under the key `Config`. As
      in `KubeconfigSecrets`, exec plugins and files are refused;
    - with `access`, an entry of `status.accessProviders` (before: `status.credentialProviders`). It has the address and
      the authority. The credentials come from here: `access` has, by the name of the provider, what a kubeconfig has
      for a user (`{"exec": {...}}`, `{"tokenFile": ...}`), or a function that makes a configuration of a profile.

    Args:
        client: the client of the hub, the cluster that has the profiles; it must be entered.
        namespace: their namespace.
        consumer: the name of this consumer.
        access: credentials by the name of the access provider.
        label_selector: which profiles count; the server selects.

    Raises:
        ValueError: neither `consumer` nor `access` is given, or both are.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        *,
        consumer: str = "",
        access: Mapping[str, Mapping[str, Any] | Callable[[KubeObject], Any]] | None = None,
        label_selector: str = "",
    ) -> None:
        if bool(consumer) == (access is not None):
            raise ValueError("ClusterProfiles needs either consumer= (Secrets) or access= (access providers)")
        self._client = client
        self._namespace = namespace
        self._consumer = consumer
        self._access = access or {}
        self._label_selector = label_selector
        self._known: dict[str, tuple[object, ClusterConfig | ConfigError]] = {}

    @property
    def reads(self) -> dict[Resource, str]:
        """Return the resources that are listed and watched, each with its namespace."""
        read = (CLUSTER_PROFILES, SECRETS) if self._consumer else (CLUSTER_PROFILES,)
        return dict.fromkeys(read, self._namespace)

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield the clusters of the profiles when these, or their Secrets, have changed.

        Raises:
            StoppedError: an informer has ended.
        """
        factory = SharedInformerFactory(self._client, namespace=self._namespace)
        profiles = factory.informer(CLUSTER_PROFILES, label_selector=self._label_selector or None)
        sources = [profiles]
        if self._consumer:
            sources.append(factory.informer(SECRETS, label_selector=f"{_CONSUMER}={self._consumer},{_PROFILE}"))
        async with factory:
            async for _ in _changes(*sources):
                yield await self._read(*sources)

    async def _read(self, profiles: SharedInformer, secrets: SharedInformer | None = None) -> Clusters:
        found: dict[str, ClusterConfig | ConfigError] = {}
        known: dict[str, tuple[object, ClusterConfig | ConfigError]] = {}
        for profile in sorted(profiles.lister, key=lambda one: one.name):
            version, config = await self._config_of(profile, secrets)
            known[profile.name] = (version, config)
            found[profile.name] = config
        self._known = known
        return found

    async def _config_of(
        self, profile: KubeObject, secrets: SharedInformer | None
    ) -> tuple[object, ClusterConfig | ConfigError]:
        before = self._known.get(profile.name)
        if secrets is not None:
            mine = secrets.lister.list(profile.namespace, {_PROFILE: profile.name})
            if len(mine) != 1:
                reason = "no Secret" if not mine else f"{len(mine)} Secrets"
                msg = f"ClusterProfile {profile.key} has {reason} for consumer {self._consumer}; expected one"
                return None, ConfigError(msg)
            version: object = (mine[0].uid, mine[0].resource_version)
            if before is not None and before[0] == version:
                return before
            return version, config_of_secret(mine[0], _PROFILE_KEY, trusted=False)
        offered = _access_providers(profile)
        name = next((name for name in offered if name in self._access), None)
        if name is None:
            msg = (
                f"ClusterProfile {profile.key} offers {', '.join(offered) or 'no access provider'}; none is in access="
            )
            return None, ConfigError(msg)
        version = (profile.uid, name, offered[name])
        if before is not None and before[0] == version:
            return before
        try:
            return version, await _with_access(profile, offered[name], self._access[name])
        except ConfigError as error:
            return None, error


def config_of_secret(secret: KubeObject, key: str, *, trusted: bool) -> ClusterConfig | ConfigError:
    """Return the configuration that a Secret holds, or why it cannot be used. No value of the Secret is shown."""
    source = f"Secret {secret.key}"
    encoded = secret.at(("data", key))
    if not isinstance(encoded, str) or not encoded:
        return ConfigError(f"{source} has no data.{key}, which would be the kubeconfig")
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ConfigError(f"{source}: data.{key} is no base64")
    try:
        return ClusterConfig.from_text(text, source=source, trusted=trusted)
    except ConfigError as error:
        return error


def _access_providers(profile: KubeObject) -> dict[str, Mapping[str, Any]]:
    """Return the access providers of a profile: their cluster, by name."""
    found = profile.at("status.accessProviders") or profile.at("status.credentialProviders")
    entries = found if isinstance(found, list) else []
    return {
        str(entry["name"]): entry["cluster"]
        for entry in entries
        if isinstance(entry, dict) and entry.get("name") and isinstance(entry.get("cluster"), dict)
    }


async def _with_access(
    profile: KubeObject, cluster: Mapping[str, Any], access: Mapping[str, Any] | Callable[[KubeObject], Any]
) -> ClusterConfig:
    """Return the configuration of a profile.

    Raises:
        ConfigError: it cannot be used.
    """
    if callable(access):
        try:
            made: Any = access(profile)
            if inspect.isawaitable(made):
                made = await made
        except ConfigError:
            raise
        except Exception as error:
            msg = f"ClusterProfile {profile.key}: the function of access= raised {type(error).__name__}"
            raise ConfigError(msg) from error
        if not isinstance(made, ClusterConfig):
            msg = f"ClusterProfile {profile.key}: the function of access= returned no ClusterConfig"
            raise ConfigError(msg)
        return made
    # Only the fields of the address: a profile must not name files of this machine.
    fields = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    kept = {name: cluster[name] for name in fields if name in cluster}
    name = profile.name
    return ClusterConfig.from_dict(
        {
            "clusters": [{"name": name, "cluster": kept}],
            "users": [{"name": name, "user": dict(access)}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


async def _changes(*sources: SharedInformer) -> AsyncIterator[None]:
    """Yield once when all caches have synced, and then after changes, several at once.

    Raises:
        StoppedError: an informer has ended by itself.
    """
    changed = asyncio.Event()
    for source in sources:
        source.add_event_handler(on_event=lambda _: changed.set(), name="fleet")
        await source.synced()
    while True:
        changed.clear()
        yield
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await changed.wait()
        except TimeoutError:
            for source in sources:
                if source.status.state in {InformerState.GAVE_UP, InformerState.FAILED}:
                    msg = f"the informer of {source.name} has ended"
                    raise StoppedError(msg) from source.status.last_error


_LOOK_EVERY: Final = 30.0
"""Seconds after which the clusters are looked at again without a change."""
