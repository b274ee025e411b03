"""The plan of a deployment: the facts that manifests need, read from a `Manager`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinformer.controller import Controller
from kinformer.fleet import Fleet
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.manifests._grants import Grant, grants_in, without_covered
from kinformer.operators.event_recorder import EventRecorder
from kinformer.operators.leader_election import LeaderElector
from kinformer.operators.shard_group import ShardGroup
from kinformer.scope import ScopedResource
from kinformer.webhooks import CertificateFiles, CertificateSecret, ServiceAddress, WebhookServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kinformer.manager import Manager
    from kinformer.resources import Resource

__all__ = ["OWN_NAMESPACE", "Plan", "UnfitManagerError", "WebhookPlan", "plan_of"]

OWN_NAMESPACE: Final = "kinformer-release-namespace"
"""The namespace of the client while a plan is made. It stands for the namespace of the operator."""

_ADMISSION: Final = "admissionregistration.k8s.io"
_EXTENSIONS: Final = "apiextensions.k8s.io"
_LEASES: Final = ("coordination.k8s.io", "leases")


class UnfitManagerError(ValueError):
    """A manager that cannot be deployed as it is. The message gives the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class WebhookPlan:
    """The webhooks of a manager.

    Attributes:
        service: the Service by which the API server reaches them.
        port: the port that they listen on.
        configurations: the webhook configurations.
        definitions: the CRDs whose objects they convert.
        mount: the folder of the certificate that cert-manager makes; "" if the operator makes its own.
    """

    service: ServiceAddress
    port: int
    configurations: tuple[dict[str, Any], ...]
    definitions: tuple[dict[str, Any], ...]
    mount: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The facts of a deployment. Where the namespace of the operator is meant, there is `OWN_NAMESPACE`.

    Attributes:
        name: the name of all objects.
        target: the argument of `kinformer run`.
        port: the port of the probes; 0 if the manager serves none.
        grace: seconds that the parts have to stop.
        replicas: 2 if replicas can stand by or share the work, otherwise 1.
        shards: whether replicas share the work, as a shard group.
        webhooks: the webhooks; `None` if there are none.
        definitions: the CRDs.
        grants: the rights of the service account.
        notices: remarks for the author.
    """

    name: str
    target: str
    port: int
    grace: float
    replicas: int
    shards: bool
    webhooks: WebhookPlan | None
    definitions: tuple[dict[str, Any], ...]
    grants: frozenset[Grant]
    notices: tuple[str, ...]


def plan_of(
    manager: Manager,
    *,
    name: str,
    target: str,
    definitions: Iterable[Mapping[str, Any]] = (),
    recorded: Sequence[Mapping[str, Any]] | None = None,
) -> Plan:
    """Read the plan of a deployment from a manager, which is not started.

    Args:
        manager: the manager, made with a client of the namespace `OWN_NAMESPACE`.
        name: the name of all objects.
        target: the argument of `kinformer run`.
        definitions: the CRDs.
        recorded: the Roles that the tests recorded; `None` if there are none.

    Raises:
        UnfitManagerError: no other machine could reach the probes or the webhooks; a path or address is missing; or a
            recorded rule is not for resources.
    """
    notices = []
    if manager.host:
        _check_reachable(manager.host, manager.port, "Manager", "the kubelet's probes")
    else:
        notices.append("the manager serves no probes, because its host is empty: the Deployment has none")
    webhooks = _webhooks_of(manager, name)
    grants = _own_grants(manager, webhooks)
    if recorded is None:
        notices.append(
            "there are no recorded Roles: the Role has the rights of the parts of the manager, and none for writes of "
            "your own; record them with pytest --kinformer-rbac=rbac.yaml"
        )
    else:
        try:
            grants |= grants_in(recorded, default_to=OWN_NAMESPACE)
        except ValueError as error:
            raise UnfitManagerError(str(error)) from None
    wide = sorted(
        {grant.verb for grant in grants if grant.resource == "secrets" and not (grant.namespace or grant.names)}
    )
    if wide:
        notices.append(f"the ClusterRole grants {', '.join(wide)} on all Secrets of the cluster")
    if any(isinstance(part, Fleet) for part in manager.parts):
        notices.append(
            "the Roles are those of the cluster where the operator runs; the users of the fleet's clusters need rights "
            "there for what its controllers do"
        )
    converted = {each["metadata"]["name"]: each for each in (webhooks.definitions if webhooks else ())}
    known = {each["metadata"]["name"]: dict(each) for each in definitions}
    parts = _with_shared(manager.parts)
    shards = any(isinstance(part, ShardGroup) for part in parts)
    return Plan(
        name=name,
        target=target,
        port=manager.port if manager.host else 0,
        grace=manager.grace,
        replicas=2 if shards or any(isinstance(part, LeaderElector) for part in parts) else 1,
        shards=shards,
        webhooks=webhooks,
        definitions=tuple((known | converted)[each] for each in sorted(known | converted)),
        grants=frozenset(without_covered(grants)),
        notices=tuple(notices),
    )


def _check_reachable(host: str, port: int, owner: str, purpose: str) -> None:
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if is_local:
        msg = f'{purpose} cannot reach {host} from outside the pod: write {owner}(host="0.0.0.0")'
        raise UnfitManagerError(msg)
    if port == 0:
        msg = f"{purpose} need a port that is known: write {owner}(port=...), not port=0"
        raise UnfitManagerError(msg)


def _webhooks_of(manager: Manager, name: str) -> WebhookPlan | None:
    servers = [part for part in manager.parts if isinstance(part, WebhookServer)]
    if not servers:
        return None
    if len(servers) > 1:
        raise UnfitManagerError("the manager has several webhook servers; serve all webhooks with one of them")
    (server,) = servers
    _check_reachable(server.host, server.port, "WebhookServer", "the API server's webhook requests")
    certificate, webhooks = server.certificate, server.webhooks
    mount = ""
    metadata: dict[str, Any] = {}
    if isinstance(certificate, CertificateSecret):
        if certificate.service is None:
            raise UnfitManagerError("the webhooks need a Service: write CertificateSecret(service=ServiceAddress(...))")
        service = certificate.service
    else:
        service = ServiceAddress(OWN_NAMESPACE, f"{name}-webhooks")
        mount = _mount_of(certificate)
        metadata = {"annotations": {"cert-manager.io/inject-ca-from": f"{OWN_NAMESPACE}/{name}-webhooks"}}
    definitions = webhooks.definitions(service)
    for definition in definitions if mount else ():
        definition["metadata"] |= metadata
    return WebhookPlan(
        service=service,
        port=server.port,
        configurations=tuple(webhooks.configurations(service, **metadata)),
        definitions=tuple(definitions),
        mount=mount,
    )


def _mount_of(files: CertificateFiles) -> str:
    """Return the folder that cert-manager's Secret is mounted at."""
    certificate, key = Path(files.certificate), Path(files.key)
    if (certificate.name, key.name) != ("tls.crt", "tls.key") or certificate.parent != key.parent:
        msg = (
            f"a Secret of cert-manager has the files tls.crt and tls.key in one folder, not {certificate} and {key}: "
            'write CertificateFiles("/certs/tls.crt", "/certs/tls.key")'
        )
        raise UnfitManagerError(msg)
    if not certificate.is_absolute() or certificate.parent == Path("/"):
        msg = f'{certificate} is in no folder of the container that a Secret can be mounted at: write "/certs/tls.crt"'
        raise UnfitManagerError(msg)
    return str(certificate.parent)


def _own_grants(manager: Manager, webhooks: WebhookPlan | None) -> set[Grant]:
    """Return the rights that the parts of a manager need for their own work."""
    found: set[Grant] = set()
    for part in _with_shared(manager.parts):
        match part:
            case SharedInformerFactory():
                found |= {grant for each in part.informers for grant in _reading(each)}
            case SharedInformer():
                found |= _reading(ScopedResource(part.resource))
            case LeaderElector():
                found |= {Grant(verb, *_LEASES, part.namespace) for verb in ("get", "watch", "create", "update")}
            case ShardGroup():
                verbs = ("get", "list", "watch", "create", "update", "delete")
                found |= {Grant(verb, *_LEASES, part.namespace) for verb in verbs}
            case EventRecorder():
                found |= {Grant(verb, "", "events") for verb in ("create", "patch")}
            case Fleet():
                reads: Mapping[Resource, str] = getattr(part.provider, "reads", {})
                for resource, namespace in reads.items():
                    found |= {Grant(verb, resource.group, resource.plural, namespace) for verb in ("list", "watch")}
            case WebhookServer() if isinstance(part.certificate, CertificateSecret) and webhooks is not None:
                found |= _certificate(part.certificate, webhooks)
            case _:
                pass
    return found


def _with_shared(parts: Iterable[Any]) -> list[Any]:
    """Return the parts with the electors and shard groups of controllers, each once."""
    found = list(parts)
    for part in parts:
        if isinstance(part, Controller):
            found += [each for each in (part.elector, part.shards) if each is not None]
    return list({id(each): each for each in found}.values())


def _reading(scoped: ScopedResource) -> set[Grant]:
    resource, scope = scoped.resource, scoped.scope
    namespace = scope.namespace if scope.is_single and scope.namespace else ""
    return {Grant(verb, resource.group, resource.plural, namespace or "") for verb in ("list", "watch")}


def _certificate(secret: CertificateSecret, webhooks: WebhookPlan) -> set[Grant]:
    # "create" cannot be restricted to a name: the name is in the body.
    found = {Grant("create", "", "secrets", secret.namespace)}
    found |= {Grant(verb, "", "secrets", secret.namespace, (secret.name,)) for verb in ("get", "update")}
    if secret.announce:
        for manifest in (*webhooks.configurations, *webhooks.definitions):
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            group = _EXTENSIONS if kind == "CustomResourceDefinition" else _ADMISSION
            found |= {Grant(verb, group, f"{kind.lower()}s", "", (name,)) for verb in ("get", "update")}
    return found
