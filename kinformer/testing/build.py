"""Manifests of common objects: short to write, and complete enough that a real API server accepts them.

    from kinformer.testing import build

    server.create(build.pod("web-0", node="node-1", phase="Running"))
    server.create(build.deployment("web", replicas=3, labels={"tier": "front"}))

Each function returns a new dict, which the caller may change. `spec`, `status` and `metadata` take further fields. They
are merged over the built ones: dicts deeply, everything else is replaced. The default namespace is "default";
cluster-scoped objects have none.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "config_map",
    "custom_resource",
    "custom_resource_definition",
    "deployment",
    "job",
    "namespace",
    "node",
    "owner_reference",
    "pod",
    "secret",
    "service",
]

Manifest: TypeAlias = dict[str, Any]
Part: TypeAlias = "Mapping[str, Any] | None"


def pod(
    name: str,
    namespace: str = "default",
    *,
    image: str = "registry.example.com/app:1",
    node: str = "",
    phase: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """Return the manifest of a pod with one container.

    Args:
        name: its name.
        namespace: its namespace.
        image: the image of its container.
        node: the name of its node; "" if it is not scheduled.
        phase: its `status.phase`; with "Running" it is ready, too. A server sets "Pending" on a new pod, so a
            phase needs a second write, to the status.
        labels: its labels in addition to `app: <name>`.
        annotations: its annotations.
        owner: the manifest of the object that controls it.
        metadata: further fields of the metadata.
        spec: further fields of the spec.
        status: further fields of the status.
    """
    body: Manifest = {"containers": [{"name": "app", "image": image}]} | ({"nodeName": node} if node else {})
    reported: Manifest = {"phase": phase} if phase else {}
    if phase == "Running":
        reported["conditions"] = [{"type": "Ready", "status": "True"}]
        reported["containerStatuses"] = [
            {
                "name": "app",
                "image": image,
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "started": True,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
        ]
    return _object(
        "v1", "Pod", name, namespace, _labels(name, labels), annotations, owner, metadata, spec=(body, spec)
    ) | (_part("status", reported, status))


def deployment(
    name: str,
    namespace: str = "default",
    *,
    replicas: int = 1,
    image: str = "registry.example.com/app:1",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """Return the manifest of a deployment, which selects pods with one container by its labels."""
    chosen = _labels(name, labels)
    body: Manifest = {
        "replicas": replicas,
        "selector": {"matchLabels": dict(chosen)},
        "template": _template(chosen, image),
    }
    return _object(
        "apps/v1", "Deployment", name, namespace, chosen, annotations, owner, metadata, spec=(body, spec)
    ) | (_part("status", {}, status))


def job(
    name: str,
    namespace: str = "default",
    *,
    image: str = "registry.example.com/job:1",
    completions: int = 1,
    parallelism: int = 1,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """Return the manifest of a job, whose pods have one container and are not restarted."""
    chosen = _labels(name, labels)
    template = _template(chosen, image)
    template["spec"]["restartPolicy"] = "Never"
    body: Manifest = {"completions": completions, "parallelism": parallelism, "template": template}
    return _object("batch/v1", "Job", name, namespace, chosen, annotations, owner, metadata, spec=(body, spec)) | (
        _part("status", {}, status)
    )


def config_map(
    name: str,
    namespace: str = "default",
    data: Mapping[str, str] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
) -> Manifest:
    """Return the manifest of a config map."""
    made = _object("v1", "ConfigMap", name, namespace, labels, annotations, owner, metadata)
    return made | {"data": dict(data or {})}


def secret(
    name: str,
    namespace: str = "default",
    data: Mapping[str, str | bytes] | None = None,
    *,
    type: str = "Opaque",  # noqa: A002 - the field's name
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
) -> Manifest:
    """Return the manifest of a secret; this function encodes its data in base64."""
    made = _object("v1", "Secret", name, namespace, labels, annotations, owner, metadata)
    encoded = {key: _base64(value) for key, value in (data or {}).items()}
    return made | {"type": type, "data": encoded}


def service(
    name: str,
    namespace: str = "default",
    *,
    port: int = 80,
    target_port: int | str = "",
    selector: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """Return the manifest of a service with one port, for the pods of `pod` and `deployment` of the same name."""
    chosen = {"app": name} if selector is None else dict(selector)
    ports = [{"port": port, "targetPort": target_port or port, "protocol": "TCP"}]
    body: Manifest = {"selector": chosen, "ports": ports}
    return _object("v1", "Service", name, namespace, labels, annotations, owner, metadata, spec=(body, spec)) | (
        _part("status", {}, status)
    )


def node(
    name: str,
    *,
    ready: bool = True,
    cpu: str = "4",
    memory: str = "16Gi",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """Return the manifest of a node, with its capacity."""
    room = {"cpu": cpu, "memory": memory, "pods": "110"}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    reported: Manifest = {"capacity": dict(room), "allocatable": room, "conditions": [condition]}
    chosen = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"} | dict(labels or {})
    return _object("v1", "Node", name, "", chosen, annotations, None, metadata, spec=({}, spec)) | (
        _part("status", reported, status)
    )


def namespace(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    metadata: Part = None,
) -> Manifest:
    """Return the manifest of a namespace."""
    return _object("v1", "Namespace", name, "", labels, annotations, None, metadata)


def custom_resource_definition(
    plural: str,
    kind: str,
    *,
    group: str = "example.com",
    version: str = "v1",
    namespaced: bool = True,
    short_names: Sequence[str] = (),
    status: bool = True,
    schema: Part = None,
) -> Manifest:
    """Return the manifest of a CRD, whose objects may have any fields unless a schema is given.

    Args:
        plural: the resource's name: "widgets".
        kind: the kind of its objects: "Widget".
        group: its API group.
        version: its one version.
        namespaced: whether its objects live in namespaces.
        short_names: other names kubectl takes.
        status: whether it has the status subresource.
        schema: the `openAPIV3Schema`.
    """
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served: Manifest = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": dict(schema) if schema is not None else anything},
    } | ({"subresources": {"status": {}}} if status else {})
    names: Manifest = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    if short_names:
        names["shortNames"] = [*short_names]
    body: Manifest = {
        "group": group,
        "scope": "Namespaced" if namespaced else "Cluster",
        "names": names,
        "versions": [served],
    }
    kinds = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    return _object(*kinds, f"{plural}.{group}", "", None, None, None, None, spec=(body, None))


def custom_resource(
    api_version: str,
    kind: str,
    name: str,
    namespace: str = "default",
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
    metadata: Part = None,
    spec: Part = None,
    status: Part = None,
) -> Manifest:
    """An object of any kind, for instance `custom_resource("example.com/v1", "Widget", "a", spec={"size": 3})`.

    Give `namespace=""` where the kind is cluster-scoped.
    """
    return _object(api_version, kind, name, namespace, labels, annotations, owner, metadata, spec=({}, spec)) | (
        _part("status", {}, status)
    )


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> Manifest:
    """Return a reference to an owner, from its manifest.

    Args:
        owner: an object as the server returned it: the reference needs its uid.
        controller: whether it controls the objects that it owns.

    Raises:
        ValueError: the manifest has no uid, so it was never created.
    """
    metadata = owner["metadata"]
    if not metadata.get("uid"):
        msg = (
            f"{owner['kind']} {metadata.get('name')!r} has no uid, so nothing can refer to it; "
            "give the manifest that the server returned: owner = server.create(...)"
        )
        raise ValueError(msg)
    made = {name: owner[name] for name in ("apiVersion", "kind")} | {name: metadata[name] for name in ("name", "uid")}
    return made | {"controller": controller, "blockOwnerDeletion": controller}


def _object(
    api_version: str,
    kind: str,
    name: str,
    namespace: str,
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
    owner: Mapping[str, Any] | None,
    more: Part,
    *,
    spec: tuple[Manifest, Part] | None = None,
) -> Manifest:
    metadata: Manifest = {"name": name} | ({"namespace": namespace} if namespace else {})
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner is not None:
        metadata["ownerReferences"] = [owner_reference(owner)]
    made: Manifest = {"apiVersion": api_version, "kind": kind, "metadata": _merged(metadata, more or {})}
    return made if spec is None else made | _part("spec", *spec)


def _part(name: str, made: Manifest, given: Part) -> Manifest:
    merged = _merged(made, given or {})
    return {name: merged} if merged else {}


def _merged(made: Mapping[str, Any], given: Mapping[str, Any]) -> Manifest:
    """Merge the given fields over the built ones: dicts deeply; everything else is replaced."""
    both = {name for name in given if isinstance(made.get(name), dict) and isinstance(given[name], dict)}
    return {**made, **given, **{name: _merged(made[name], given[name]) for name in both}}


def _labels(name: str, given: Mapping[str, str] | None) -> dict[str, str]:
    return {"app": name} | dict(given or {})


def _template(labels: Mapping[str, str], image: str) -> Manifest:
    return {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "app", "image": image}]}}


def _base64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
