"""The fields that the server fills in when an object is written, as the recorded kube-apiserver 1.36 does."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.fields.services import SERVICE_NETWORK
from kinformer.testing._apiserver.rules.newer_defaults import fill_in_newer, has_newer_generation
from kinformer.testing._apiserver.rules.pod_defaults import fill_in_pod, fill_in_template

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["METADATA_ORDER", "establish", "fill_in", "has_generation", "in_order", "select_pods_of_job"]

METADATA_ORDER: Final = (
    *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers"),
    "managedFields",
)
"""The order of the fields of ObjectMeta (apimachinery meta/v1/types.go), which is their order on the wire."""

_HAS_GENERATION: Final = {
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    *(("apps", plural) for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")),
    *(("batch", plural) for plural in ("cronjobs", "jobs")),
    *(("networking.k8s.io", plural) for plural in ("ingresses", "ingressclasses", "networkpolicies")),
    ("policy", "poddisruptionbudgets"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("discovery.k8s.io", "endpointslices"),
    ("scheduling.k8s.io", "priorityclasses"),
    *(("resource.k8s.io", plural) for plural in ("deviceclasses", "devicetaintrules", "resourceslices")),
    *(("flowcontrol.apiserver.k8s.io", plural) for plural in ("flowschemas", "prioritylevelconfigurations")),
    *(
        ("admissionregistration.k8s.io", plural)
        for plural in (
            *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
            *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
            *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
        )
    ),
}
"""Built-in resources whose objects count their generations; custom resources all do."""

_FIRST_NODE_PORT: Final = 30_000
_NODE_PORTS: Final = 2_768
_ROLLING_UPDATES: Final[dict[str, dict[str, Any]]] = {
    "deployments": {"maxUnavailable": "25%", "maxSurge": "25%"},
    "daemonsets": {"maxUnavailable": 1, "maxSurge": 0},
    "statefulsets": {"partition": 0},
}
_NODE_INFO: Final = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion"),
    *("kubeProxyVersion", "operatingSystem", "architecture"),
)


def has_generation(kind: ResourceType) -> bool:
    """Return whether the objects of a kind count their generations."""
    return kind.custom or kind.storage in _HAS_GENERATION or has_newer_generation(kind)


def in_order(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its fields in the order of the wire: kind, apiVersion, metadata, spec, status, others."""
    metadata = manifest["metadata"]
    known = {name: metadata[name] for name in METADATA_ORDER if name in metadata and metadata[name] is not None}
    for name in ("labels", "annotations"):
        if name in known:
            # Go writes the keys of a map in their order.
            known[name] = dict(sorted(known[name].items()))
    first = ("kind", "apiVersion", "metadata", "spec", "status")
    ordered = manifest | {"metadata": known}
    return {name: ordered[name] for name in first if name in ordered} | {
        name: value for name, value in ordered.items() if name not in first
    }


def fill_in(kind: ResourceType, manifest: dict[str, Any], *, number: int, now: str) -> None:
    """Fill in the fields that an object leaves out, in place.

    Args:
        kind: the kind of the object.
        manifest: the object, a copy of the caller's own.
        number: how many writes there were before, for addresses that differ.
        now: the time as objects carry it, for fields that say since when something holds.
    """
    if kind.custom:
        return
    match kind.storage:
        case ("", _):
            _core(kind.plural, manifest, number)
        case ("apps", _) if "spec" in manifest:
            _workload(kind.plural, manifest)
        case ("batch", _) if "spec" in manifest:
            _batch(kind.plural, manifest)
        case ("apiextensions.k8s.io", "customresourcedefinitions"):
            _definition(manifest)
        case _:
            _others(kind, manifest)
    fill_in_newer(kind, manifest, now)
    for name, value in manifest.items():
        if name != "metadata":
            _complete(value, kind.structure.child(name))
    for name, empty in kind.structure.empty().items():
        if name != "metadata":
            manifest.setdefault(name, empty)


def _complete(value: Any, structure: Structure) -> None:
    """Write the empty structs and lists that Go writes, in place."""
    if isinstance(value, list):
        for item in value:
            _complete(item, structure.child(""))
    elif isinstance(value, dict):
        for name, child in value.items():
            _complete(child, structure.child(name))
        if structure.shape == "struct":
            for name, empty in structure.empty().items():
                value.setdefault(name, empty)


def _core(plural: str, manifest: dict[str, Any], number: int) -> None:  # noqa: C901 - a table of kinds
    spec = manifest.get("spec")
    match plural:
        case "pods":
            fill_in_pod(manifest)
        case "namespaces":
            manifest["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = manifest["metadata"]["name"]
            manifest["spec"] = {"finalizers": ["kubernetes"]}
            manifest["status"] = {"phase": "Active"}
        case "services":
            _service(manifest.setdefault("spec", {}), number)
            manifest.setdefault("status", {"loadBalancer": {}})
        case "secrets":
            text = manifest.pop("stringData", None)
            if text:
                data = manifest.setdefault("data", {})
                data |= {name: base64.b64encode(value.encode()).decode() for name, value in text.items()}
            manifest.setdefault("type", "Opaque")
        case "replicationcontrollers" if spec is not None:
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
            if labels:
                spec.setdefault("selector", dict(labels))
                manifest["metadata"].setdefault("labels", dict(labels))
            spec.setdefault("replicas", 1)
            fill_in_template(spec)
            manifest["status"] = {"replicas": 0}
        case "podtemplates":
            fill_in_template(manifest)
        case "persistentvolumeclaims":
            manifest.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
            manifest["status"] = {"phase": "Pending"}
        case "persistentvolumes" if spec is not None:
            spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
            spec.setdefault("volumeMode", "Filesystem")
            if "hostPath" in spec:
                spec["hostPath"].setdefault("type", "")
            manifest["status"] = {"phase": "Pending"}
        case "endpoints":
            for subset in manifest.get("subsets") or ():
                for port in subset.get("ports") or ():
                    port.setdefault("protocol", "TCP")
        case "nodes":
            if spec and (networks := spec.get("podCIDRs") or [one for one in [spec.get("podCIDR")] if one]):
                spec |= {"podCIDR": networks[0], "podCIDRs": networks}
            state = manifest.setdefault("status", {})
            state.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {"Port": 0})
            state["nodeInfo"] = dict.fromkeys(_NODE_INFO, "") | (state.get("nodeInfo") or {})
        case "events":
            _event(manifest)
        case _:
            pass


def _event(manifest: dict[str, Any]) -> None:
    """Write the empty fields of an Event, which Go does not leave out in the core group."""
    if manifest["apiVersion"] == "v1":
        for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
            manifest.setdefault(name, None)
        for name in ("reportingComponent", "reportingInstance"):
            manifest.setdefault(name, "")
    else:
        for name in ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"):
            manifest.setdefault(name, None)


def _workload(plural: str, manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]
    fill_in_template(spec)
    if plural in {"deployments", "replicasets", "statefulsets"}:
        spec.setdefault("replicas", 1)
    if rolling := _ROLLING_UPDATES.get(plural):
        strategy = spec.setdefault("strategy" if plural == "deployments" else "updateStrategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            strategy["rollingUpdate"] = rolling | (strategy.get("rollingUpdate") or {})
        spec.setdefault("revisionHistoryLimit", 10)
    manifest["status"] = {} if plural == "deployments" else {"replicas": 0}
    if plural == "deployments":
        spec.setdefault("progressDeadlineSeconds", 600)
    elif plural == "daemonsets":
        zeros = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
        manifest["status"] = dict.fromkeys(zeros, 0)
        annotations = manifest["metadata"].get("annotations") or {}
        manifest["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "1"} | annotations
    elif plural == "statefulsets":
        spec.setdefault("podManagementPolicy", "OrderedReady")
        kept = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Retain"} | kept
        for claim in spec.get("volumeClaimTemplates") or ():
            claim |= {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "status": {"phase": "Pending"}}
            claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        manifest["status"]["availableReplicas"] = 0


def _batch(plural: str, manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]
    manifest["status"] = {}
    if plural == "cronjobs":
        for name, value in {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        }.items():
            spec.setdefault(name, value)
        fill_in_template((spec.get("jobTemplate") or {}).get("spec") or {})
        return
    fill_in_template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec |= {"completions": 1, "parallelism": 1}
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")


def _others(kind: ResourceType, manifest: dict[str, Any]) -> None:  # noqa: C901 - a table of kinds
    spec = manifest.get("spec")
    match kind.storage:
        case ("storage.k8s.io", "storageclasses"):
            manifest.setdefault("reclaimPolicy", "Delete")
            manifest.setdefault("volumeBindingMode", "Immediate")
        case ("storage.k8s.io", "csidrivers") if spec is not None:
            for name in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"):
                spec.setdefault(name, False)
            spec.setdefault("attachRequired", True)
            spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
            spec.setdefault("volumeLifecycleModes", ["Persistent"])
        case ("networking.k8s.io", "ingressclasses") if spec is not None:
            if spec.get("parameters"):
                spec["parameters"].setdefault("scope", "Cluster")
        case ("coordination.k8s.io", "leases") if spec is not None:
            # The fields of a feature that is off are dropped (CoordinatedLeaderElection).
            for name in ("strategy", "preferredHolder"):
                spec.pop(name, None)
        case ("scheduling.k8s.io", "priorityclasses"):
            manifest.setdefault("value", 0)
            manifest.setdefault("preemptionPolicy", "PreemptLowerPriority")
        case ("networking.k8s.io", "networkpolicies") if spec is not None:
            spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])
            for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
                for port in rule.get("ports") or ():
                    port.setdefault("protocol", "TCP")
        case ("policy", "poddisruptionbudgets"):
            counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
            manifest["status"] = dict.fromkeys(counts, 0)
        case ("discovery.k8s.io", "endpointslices"):
            for port in manifest.get("ports") or ():
                port.setdefault("name", "")
                port.setdefault("protocol", "TCP")
        case ("apps", "controllerrevisions"):
            manifest.setdefault("revision", 0)
        case ("rbac.authorization.k8s.io", _):
            _roles(manifest)
        case ("autoscaling", "horizontalpodautoscalers") if spec is not None:
            _autoscaler(kind.version, manifest, spec)
        case ("storage.k8s.io", "volumeattachments"):
            manifest.setdefault("status", {"attached": False})
        case ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") if spec is not None:
            _priority_level(spec)
        case ("apiregistration.k8s.io", "apiservices") if spec is not None:
            if spec.get("service"):
                spec["service"].setdefault("port", 443)
        case ("resource.k8s.io", "resourceclaims") if spec is not None:
            _device_requests(spec)
        case ("resource.k8s.io", "resourceclaimtemplates") if spec is not None:
            _device_requests(spec.get("spec") or {})
        case ("admissionregistration.k8s.io", "validatingadmissionpolicies" | "mutatingadmissionpolicies"):
            _match_resources((spec or {}).get("matchConstraints"))
            if spec is not None:
                spec.setdefault("failurePolicy", "Fail")
        case ("admissionregistration.k8s.io", "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings"):
            _match_resources((spec or {}).get("matchResources"))
        case ("admissionregistration.k8s.io", "validatingwebhookconfigurations" | "mutatingwebhookconfigurations"):
            for webhook in manifest.get("webhooks") or ():
                _webhook(webhook, mutating=kind.plural.startswith("mutating"))
        case _:
            pass


def _roles(manifest: dict[str, Any]) -> None:
    group = "rbac.authorization.k8s.io"
    if "roleRef" in manifest:
        manifest["roleRef"].setdefault("apiGroup", group)
    for subject in manifest.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"}:
            subject.setdefault("apiGroup", group)
        elif subject.get("kind") == "ServiceAccount" and subject.get("apiGroup") == "":
            del subject["apiGroup"]


def _autoscaler(version: str, manifest: dict[str, Any], spec: dict[str, Any]) -> None:
    spec.setdefault("minReplicas", 1)
    if version == "v1":
        spec.setdefault("targetCPUUtilizationPercentage", 80)
        manifest["status"] = {"currentReplicas": 0, "desiredReplicas": 0}
        return
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    manifest["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def _priority_level(spec: dict[str, Any]) -> None:
    if limited := spec.get("limited"):
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        if queuing := (limited.get("limitResponse") or {}).get("queuing"):
            for name, value in {"queues": 64, "handSize": 8, "queueLengthLimit": 50}.items():
                queuing[name] = queuing.get(name) or value
    if exempt := spec.get("exempt"):
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)


def _device_requests(spec: dict[str, Any]) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is not None:
                one["allocationMode"] = one.get("allocationMode") or "ExactCount"
                if one["allocationMode"] == "ExactCount":
                    one["count"] = one.get("count") or 1


def _match_resources(match: dict[str, Any] | None) -> None:
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    for name in ("namespaceSelector", "objectSelector"):
        match.setdefault(name, {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(field) or ():
            rule.setdefault("scope", "*")


def _webhook(webhook: dict[str, Any], *, mutating: bool) -> None:
    for name, value in {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}.items():
        webhook.setdefault(name, value)
    for name in ("namespaceSelector", "objectSelector"):
        webhook.setdefault(name, {})
    if mutating:
        webhook.setdefault("reinvocationPolicy", "Never")
    for rule in webhook.get("rules") or ():
        rule.setdefault("scope", "*")
    if service := (webhook.get("clientConfig") or {}).get("service"):
        service.setdefault("port", 443)


def select_pods_of_job(manifest: dict[str, Any]) -> None:
    """Give a new job a selector and its pods the labels for it, in place (pkg/registry/batch/job, generateSelector)."""
    spec, metadata = manifest.get("spec"), manifest["metadata"]
    if spec is None or spec.get("manualSelector") or "template" not in spec:
        return
    prefix = "batch.kubernetes.io/"
    labels = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    template = dict(spec["template"])
    given = template.get("metadata") or {}
    every = labels | {prefix + name: value for name, value in labels.items()}
    template["metadata"] = given | {"labels": (given.get("labels") or {}) | every}
    # The labels of a job are by default those of its template.
    metadata.setdefault("labels", dict(template["metadata"]["labels"]))
    spec["template"] = template
    spec["selector"] = {"matchLabels": {prefix + "controller-uid": metadata["uid"]}}


def establish(manifest: dict[str, Any], now: str) -> dict[str, Any]:
    """A CRD a moment later, when the server has taken its names and serves it."""
    names = manifest["spec"]["names"]

    def condition(kind: str, reason: str, message: str) -> dict[str, Any]:
        return {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}

    conditions = [
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    status = manifest["status"] | {"conditions": conditions, "acceptedNames": dict(names)}
    return manifest | {"metadata": dict(manifest["metadata"]), "status": status}


def _definition(manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]
    names = spec["names"]
    order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    filled = {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List"} | names
    spec["names"] = {name: filled[name] for name in order if filled.get(name)}
    spec.setdefault("conversion", {"strategy": "None"})
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    manifest["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


def _service(spec: dict[str, Any], number: int) -> None:
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port["targetPort"] = port.get("targetPort") or port.get("port")
    kind = spec.setdefault("type", "ClusterIP")
    if spec.setdefault("sessionAffinity", "None") == "None":
        spec.pop("sessionAffinityConfig", None)
    if kind == "ExternalName":
        return
    # Address 1 belongs to the API server itself.
    address = str(SERVICE_NETWORK[2 + number % (SERVICE_NETWORK.num_addresses - 3)])
    address = spec.setdefault("clusterIP", address)
    spec.setdefault("clusterIPs", [address])
    if address == "None" and not spec.get("selector"):
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    if kind in {"NodePort", "LoadBalancer"} or spec.get("externalIPs"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in {"NodePort", "LoadBalancer"}:
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        for index, port in enumerate(spec.get("ports") or ()):
            port.setdefault("nodePort", _FIRST_NODE_PORT + (number + index) % _NODE_PORTS)
