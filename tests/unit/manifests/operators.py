"""Managers to make manifests of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kinformer import Client, ClusterConfig, Controller, LeaderElector, Manager, ObjectKey, SharedInformerFactory
from kinformer.custom_resources import CustomResource, ObjectMeta, custom_resource
from kinformer.manifests import OWN_NAMESPACE, Plan, plan_of
from kinformer.webhooks import (
    AdmissionRequest,
    Allow,
    CertificateFiles,
    CertificateSecret,
    ServiceAddress,
    Webhooks,
    WebhookServer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class SiteSpec(msgspec.Struct):
    """The wanted state: text such as {{ .Values.image }} stays as it is."""

    host: str = ""


@custom_resource(group="example.com", version="v1", kind="Site")
class Site(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: SiteSpec = msgspec.field(default_factory=SiteSpec)


async def reconcile(_: ObjectKey) -> None: ...


def client() -> Client:
    return Client(ClusterConfig.for_server("http://127.0.0.1:1", namespace=OWN_NAMESPACE))


def led(**options: Any) -> Manager:
    """A manager with an informer, a controller and an elector."""
    writer = client()
    factory = SharedInformerFactory(writer)
    sites = factory.informer(Site)
    controller = Controller("sites", reconcile).watches(sites)
    elector = LeaderElector(writer, "site-operator", namespace=OWN_NAMESPACE)
    return Manager(**{"host": "0.0.0.0"} | options).add(factory, elector, controller)


def webhooks() -> Webhooks:
    hooks = Webhooks("site-operator")

    @hooks.validating(Site)
    async def check(_: AdmissionRequest[Site]) -> Allow:
        return Allow()

    return hooks


def with_own_certificate() -> Manager:
    service = ServiceAddress(OWN_NAMESPACE, "site-operator")
    secret = CertificateSecret(client(), OWN_NAMESPACE, "site-operator-tls", service=service)
    return led().add(WebhookServer(webhooks(), secret, host="0.0.0.0"))


def with_cert_manager(certificate: str = "/certs/tls.crt", key: str = "/certs/tls.key") -> Manager:
    return led().add(WebhookServer(webhooks(), CertificateFiles(certificate, key), host="0.0.0.0"))


def planned(manager: Manager, recorded: Sequence[dict[str, Any]] | None = None) -> Plan:
    return plan_of(manager, name="site-operator", target="sites.main", definitions=[Site.crd()], recorded=recorded)
