"""The configuration of one webhook, as in a ValidatingWebhookConfiguration or a MutatingWebhookConfiguration."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.resources import Resource
    from kinformer.webhooks._admission import Operation

__all__ = ["OPERATIONS", "FailurePolicy", "Reinvocation", "Rules", "ServiceAddress", "SideEffects", "client_config"]

OPERATIONS: Final[tuple[Operation, ...]] = ("CREATE", "UPDATE", "DELETE")

FailurePolicy = Literal["Fail", "Ignore"]
SideEffects = Literal["None", "NoneOnDryRun"]
Reinvocation = Literal["Never", "IfNeeded"]


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The Service by which the API server reaches the webhooks.

    Attributes:
        namespace: the namespace of the Service.
        name: the name of the Service.
        port: the port of the Service.
    """

    namespace: str
    name: str
    port: int = 443

    @property
    def names(self) -> tuple[str, ...]:
        """Return the host names that a certificate of the Service needs."""
        host = f"{self.name}.{self.namespace}.svc"
        return host, f"{host}.cluster.local"


@dataclass(frozen=True)
class Rules:
    """Which writes a webhook is asked about, and what follows from its failure.

    Raises:
        ValueError: a value is none of those that the API server takes.
    """

    mutating: bool
    resource: Resource
    operations: tuple[Operation, ...]
    subresource: str = ""
    failure_policy: FailurePolicy = "Fail"
    side_effects: SideEffects = "None"
    timeout: int = 10
    reinvocation: Reinvocation = "Never"
    namespace_selector: Mapping[str, Any] = field(default_factory=dict)
    object_selector: Mapping[str, Any] = field(default_factory=dict)
    match_conditions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("failure_policy", ("Fail", "Ignore")),
            ("side_effects", ("None", "NoneOnDryRun")),
            ("reinvocation", ("Never", "IfNeeded")),
        ):
            if getattr(self, name) not in allowed:
                msg = f"{name}={getattr(self, name)!r}: it is one of {', '.join(allowed)}"
                raise ValueError(msg)
        if not self.operations or any(each not in OPERATIONS for each in self.operations):
            msg = f"operations={self.operations!r}: name at least one of {', '.join(OPERATIONS)}"
            raise ValueError(msg)
        if not 1 <= self.timeout <= 30:
            msg = f"timeout={self.timeout}: the API server waits 1 to 30 seconds for a webhook"
            raise ValueError(msg)
        if self.reinvocation != "Never" and not self.mutating:
            raise ValueError("only mutating webhooks are called again; leave reinvocation= out")

    def manifest(self, name: str, client: dict[str, Any]) -> dict[str, Any]:
        """Return the entry in `webhooks` of a configuration.

        Args:
            name: the name of the function, from which the name of the webhook is made.
            client: the `clientConfig`.
        """
        resource = self.resource
        plural = f"{resource.plural}/{self.subresource}" if self.subresource else resource.plural
        rule = {
            "apiGroups": [resource.group],
            "apiVersions": [resource.version],
            "resources": [plural],
            "operations": list(self.operations),
            "scope": "Namespaced" if resource.namespaced else "Cluster",
        }
        entry: dict[str, Any] = {
            "name": f"{dns_label(name)}.{resource.plural}.{resource.group or 'core'}",
            "admissionReviewVersions": ["v1"],
            "clientConfig": client,
            "rules": [rule],
            "failurePolicy": self.failure_policy,
            "matchPolicy": "Equivalent",
            "sideEffects": self.side_effects,
            "timeoutSeconds": self.timeout,
        }
        if self.mutating:
            entry["reinvocationPolicy"] = self.reinvocation
        if self.namespace_selector:
            entry["namespaceSelector"] = dict(self.namespace_selector)
        if self.object_selector:
            entry["objectSelector"] = dict(self.object_selector)
        if self.match_conditions:
            entry["matchConditions"] = [
                {"name": each, "expression": expression} for each, expression in self.match_conditions.items()
            ]
        return entry


def client_config(at: ServiceAddress | str, path: str, authority: bytes) -> dict[str, Any]:
    """Return the `clientConfig` of a webhook.

    Args:
        at: the Service, or a URL that begins with "https://".
        path: the path of the webhook, with a slash before it.
        authority: the certificates of the authority in PEM; empty if another program fills them in.

    Raises:
        ValueError: the URL is not https.
    """
    if isinstance(at, ServiceAddress):
        service = {"namespace": at.namespace, "name": at.name, "port": at.port, "path": path}
        made: dict[str, Any] = {"service": service}
    else:
        if not at.startswith("https://"):
            msg = f"at={at!r}: the API server calls webhooks by https:// only"
            raise ValueError(msg)
        made = {"url": at.rstrip("/") + path}
    return made | ({"caBundle": base64.b64encode(authority).decode()} if authority else {})


def dns_label(name: str) -> str:
    """Return a name of Python as a DNS label: "unique_domain" as "unique-domain"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "webhook"


def as_tuple(values: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return the operations as a tuple; a string alone is refused.

    Raises:
        TypeError: it is a string.
    """
    if isinstance(values, str):
        msg = f"operations={values!r}: give a sequence, such as ({values!r},)"
        raise TypeError(msg)
    return tuple(values)
