"""What the server fills in when an object is created, as the recorded kube-apiserver 1.36 does.

Only what clients see and tests depend on: pods and the pod templates of workloads, services, namespaces, CRDs.
"""

from __future__ import annotations

import base64
import ipaddress
from typing import Any, Final

__all__ = ["HAS_GENERATION", "METADATA_ORDER", "establish", "fill_in", "in_order", "select_pods_of_job"]

METADATA_ORDER: Final = (
    *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers"),
    "managedFields",
)
"""The order of the fields of ObjectMeta (apimachinery meta/v1/types.go), which is the order on the wire."""

HAS_GENERATION: Final = {
    ("", "pods"),
    ("", "replicationcontrollers"),
    *(("apps", plural) for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")),
    *(("batch", plural) for plural in ("cronjobs", "jobs")),
    *(("networking.k8s.io", plural) for plural in ("ingresses", "ingressclasses", "networkpolicies")),
    ("policy", "poddisruptionbudgets"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("discovery.k8s.io", "endpointslices"),
    ("scheduling.k8s.io", "priorityclasses"),
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

_SERVICE_NETWORK: Final = ipaddress.ip_network("10.96.0.0/12")


def in_order(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its fields in the order of the wire: kind, apiVersion, metadata, spec, status, the rest."""
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


def fill_in(storage: tuple[str, str], manifest: dict[str, Any], *, number: int) -> None:
    """Fill in what a new object leaves out, in place.

    Args:
        storage: group and plural.
        manifest: the object, a copy of the caller's own.
        number: how many writes there were before, for addresses that differ.
    """
    spec = manifest.get("spec")
    match storage:
        case ("", "pods"):
            _pod_spec(manifest.setdefault("spec", {}))
            _tolerate_node_failures(manifest["spec"])
            manifest["status"] = {"phase": "Pending", "qosClass": _quality(manifest["spec"])}
        case ("", "namespaces"):
            manifest["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = manifest["metadata"]["name"]
            manifest["spec"] = {"finalizers": ["kubernetes"]}
            manifest["status"] = {"phase": "Active"}
        case ("", "services"):
            _service(manifest.setdefault("spec", {}), number)
            manifest.setdefault("status", {"loadBalancer": {}})
        case ("", "secrets"):
            text = manifest.pop("stringData", None)
            if text:
                data = manifest.setdefault("data", {})
                data |= {name: base64.b64encode(value.encode()).decode() for name, value in text.items()}
            manifest.setdefault("type", "Opaque")
        case ("apps", _) if isinstance(spec, dict):
            _workload(storage[1], spec)
            manifest["status"] = {} if storage[1] == "deployments" else {"replicas": 0}
            if storage[1] == "daemonsets":
                zeros = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
                manifest["status"] = dict.fromkeys(zeros, 0)
        case ("batch", "jobs") if isinstance(spec, dict):
            _pod_template(spec)
            for name, value in {"parallelism": 1, "completions": 1, "backoffLimit": 6}.items():
                spec.setdefault(name, value)
            spec.setdefault("completionMode", "NonIndexed")
            spec.setdefault("suspend", False)
            spec.setdefault("manualSelector", False)
            spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
            manifest["status"] = {}
        case ("apiextensions.k8s.io", "customresourcedefinitions"):
            _definition(manifest)
        case _:
            pass


def select_pods_of_job(manifest: dict[str, Any]) -> None:
    """Give a new job a selector and its pods the labels for it, in place (pkg/registry/batch/job, generateSelector)."""
    spec, metadata = manifest.get("spec"), manifest["metadata"]
    if not isinstance(spec, dict) or spec.get("manualSelector") or not isinstance(spec.get("template"), dict):
        return
    prefix = "batch.kubernetes.io/"
    labels = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    template = dict(spec["template"])
    given = template.get("metadata") or {}
    every = labels | {prefix + name: value for name, value in labels.items()}
    template["metadata"] = given | {"labels": (given.get("labels") or {}) | every}
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


def _pod_spec(spec: dict[str, Any]) -> None:
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        image = container.get("image", "")
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports", ()):
            port.setdefault("protocol", "TCP")
    for name, value in {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }.items():
        spec.setdefault(name, value)


def _tolerate_node_failures(spec: dict[str, Any]) -> None:
    """What the admission plugins DefaultTolerationSeconds and ServiceAccount do, which have no field manager."""
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") in {key, None} for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec.setdefault("enableServiceLinks", True)


def _quality(spec: dict[str, Any]) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers", ())]
    if not any(resource.get("requests") or resource.get("limits") for resource in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(resource.get("limits") or {})
        and (resource.get("requests") or resource["limits"]) == resource["limits"]
        for resource in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _pod_template(spec: dict[str, Any]) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        _pod_spec(template["spec"])


def _workload(plural: str, spec: dict[str, Any]) -> None:
    _pod_template(spec)
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    match plural:
        case "deployments":
            spec.setdefault("replicas", 1)
            spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
            spec.setdefault("revisionHistoryLimit", 10)
            spec.setdefault("progressDeadlineSeconds", 600)
        case "replicasets":
            spec.setdefault("replicas", 1)
        case "statefulsets":
            spec.setdefault("replicas", 1)
            spec.setdefault("podManagementPolicy", "OrderedReady")
            spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
            spec.setdefault("revisionHistoryLimit", 10)
        case "daemonsets":
            spec.setdefault(
                "updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
            )
            spec.setdefault("revisionHistoryLimit", 10)


def _service(spec: dict[str, Any], number: int) -> None:
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    spec.setdefault("type", "ClusterIP")
    if spec["type"] != "ExternalName":
        # Address 1 belongs to the API server itself.
        address = str(_SERVICE_NETWORK[2 + number % (_SERVICE_NETWORK.num_addresses - 3)])
        spec.setdefault("clusterIP", address)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("sessionAffinity", "None")
