"""The rules for workloads, services, budgets and their like that people meet first (pkg/apis/*/validation)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.cron_texts import schedule_fault
from kinformer.testing._apiserver.rules.fields.terms import at_most_all
from kinformer.testing._apiserver.rules.json_texts import json_fault
from kinformer.testing._apiserver.rules.names import (
    label_faults,
    label_value_faults,
    port_name_faults,
    qualified_faults,
)
from kinformer.testing._apiserver.rules.pod_validation import check_pod_spec
from kinformer.testing._apiserver.store.status import invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from kinformer.testing._apiserver.store.status import Cause

__all__ = [
    "check_cron_job",
    "check_disruption_budget",
    "check_generated_selector",
    "check_job",
    "check_replication_controller",
    "check_secret",
    "check_selector_of_update",
    "check_service",
    "check_workload",
]

_NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_PORT: Final = "must be between 1 and 65535, inclusive"
_SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_CONCURRENCY: Final = ("Allow", "Forbid", "Replace")
_ACCOUNT: Final = "kubernetes.io/service-account.name"
_SECRET_KEYS: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


_KINDS: Final = {
    "deployments": "deployment",
    # Its refusal has the words of the older kind.
    "replicasets": "deployment",
    "statefulsets": "statefulset",
    "daemonsets": "daemonset",
}


def check_workload(plural: str, spec: dict[str, Any]) -> list[Cause]:
    """Return the causes why a Deployment, ReplicaSet, StatefulSet or DaemonSet is refused."""
    causes: list[Cause] = []
    replicas = spec.get("replicas")
    if replicas is not None and replicas < 0:
        causes.append(invalid_value("spec.replicas", replicas, _NOT_NEGATIVE))
    template = spec.get("template") or {}
    causes += _selector(spec.get("selector"), template, _KINDS[plural])
    claims = [(claim.get("metadata") or {}).get("name") or "" for claim in spec.get("volumeClaimTemplates") or ()]
    causes += _always_restarted(template, named=plural != "statefulsets", claims=claims)
    if plural == "deployments":
        causes += _strategy(spec.get("strategy") or {})
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        if (spec.get(field) or 0) < 0 and (plural, field) != ("statefulsets", "revisionHistoryLimit"):
            causes.append(invalid_value(f"spec.{field}", spec[field], _NOT_NEGATIVE))
    deadline = spec.get("progressDeadlineSeconds")
    if plural == "deployments" and deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        causes.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return causes


def _always_restarted(template: dict[str, Any], *, named: bool = True, claims: Collection[str] = ()) -> list[Cause]:
    """Judge the template of pods that go on for ever."""
    causes = check_pod_spec(template.get("spec") or {}, "spec.template.spec", named=named, claims=claims)
    restart = (template.get("spec") or {}).get("restartPolicy")
    if restart not in {None, "", "Always"}:
        causes.append(one_of("spec.template.spec.restartPolicy", restart, ["Always"]))
    return causes


def check_replication_controller(spec: dict[str, Any]) -> list[Cause]:
    """Return the causes why a ReplicationController is refused."""
    template = spec.get("template")
    # Its selector is by default that of its template.
    labels = ((template or {}).get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector") or labels
    causes: list[Cause] = [] if selector else [required("spec.selector")]
    if template is None:
        return [*causes, required("spec.template")]
    if selector:
        causes += _unselected(selector, labels)
    return causes + _always_restarted(template)


def _selector(selector: dict[str, Any] | None, template: dict[str, Any], kind: str) -> Iterator[Cause]:
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        if kind != "daemonset":
            yield required("spec.selector")
        # No selector at all selects nothing.
        yield _not_selected(labels)
        return
    if not _is_readable(selector):
        if kind != "daemonset":
            yield invalid_value("spec.selector", selector, "" if kind == "statefulset" else "invalid label selector")
        return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")
    yield from _unselected(selector.get("matchLabels") or {}, labels, selector.get("matchExpressions") or ())


def _is_readable(selector: dict[str, Any]) -> bool:
    """Report whether a selector can be applied (LabelSelectorAsSelector)."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if qualified_faults(key) or label_value_faults(value):
            return False
    for term in selector.get("matchExpressions") or ():
        values, operator = term.get("values") or [], term.get("operator")
        needs_values = operator in {"In", "NotIn"}
        if not needs_values and operator not in {"Exists", "DoesNotExist"}:
            return False
        if needs_values != bool(values) or qualified_faults(term.get("key") or ""):
            return False
        if any(label_value_faults(value) for value in values):
            return False
    return True


def _unselected(
    wanted: dict[str, str], labels: dict[str, str], terms: Sequence[dict[str, Any]] = ()
) -> Iterator[Cause]:
    if any(labels.get(key) != value for key, value in wanted.items()) or not all(_fits(term, labels) for term in terms):
        yield _not_selected(labels)


def _fits(term: dict[str, Any], labels: dict[str, str]) -> bool:
    """Report whether labels meet a requirement of a selector; one that is malformed is judged elsewhere."""
    key, values = term.get("key") or "", term.get("values") or []
    match term.get("operator"):
        case "In":
            return not values or labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return True


def _not_selected(labels: dict[str, str]) -> Cause:
    shown = dict(sorted(labels.items())) or None
    return invalid_value("spec.template.metadata.labels", shown, "`selector` does not match template `labels`")


def _strategy(strategy: dict[str, Any]) -> Iterator[Cause]:
    kind, rolling = strategy.get("type") or "RollingUpdate", strategy.get("rollingUpdate")
    if kind == "Recreate" and rolling is not None:
        yield forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif kind not in {"Recreate", "RollingUpdate"}:
        yield one_of("spec.strategy", {"Type": kind, "RollingUpdate": rolling}, ("Recreate", "RollingUpdate"))
    elif rolling and _is_zero(rolling.get("maxSurge")) and _is_zero(rolling.get("maxUnavailable")):
        why = "may not be 0 when `maxSurge` is 0"
        yield invalid_value("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why)


def _is_zero(value: Any) -> bool:
    return value in (0, "0%") and value is not None


def check_job(spec: dict[str, Any], path: str = "spec") -> list[Cause]:
    """Return the causes why a Job, or the template of one, is refused."""
    causes = [
        invalid_value(f"{path}.{field}", spec[field], _NOT_NEGATIVE)
        for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
        if (spec.get(field) or 0) < 0
    ]
    template = spec.get("template") or {}
    if path == "spec" and spec.get("manualSelector"):
        causes += _manual_selector(spec.get("selector"), template)
    pod = template.get("spec") or {}
    causes += check_pod_spec(pod, f"{path}.template.spec")
    restart = pod.get("restartPolicy")
    at = f"{path}.template.spec.restartPolicy"
    if restart in {None, "", "Always"}:
        causes.append(required(at, 'valid values: "OnFailure", "Never"'))
    elif restart not in {"OnFailure", "Never"}:
        causes.append(one_of(at, restart, ("OnFailure", "Never")))
    return causes


def _manual_selector(selector: dict[str, Any] | None, template: dict[str, Any]) -> Iterator[Cause]:
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield required("spec.selector")
        yield _not_selected(labels)
    else:
        yield from _unselected(selector.get("matchLabels") or {}, labels, selector.get("matchExpressions") or ())


def check_cron_job(spec: dict[str, Any]) -> list[Cause]:
    """Return the causes why a CronJob is refused."""
    causes: list[Cause] = []
    schedule = spec.get("schedule") or ""
    if not schedule:
        causes.append(required("spec.schedule"))
    elif why := schedule_fault(schedule):
        causes.append(invalid_value("spec.schedule", schedule, why))
    policy = spec.get("concurrencyPolicy")
    if policy and policy not in _CONCURRENCY:
        causes.append(one_of("spec.concurrencyPolicy", policy, _CONCURRENCY))
    causes += [
        invalid_value(f"spec.{field}", spec[field], _NOT_NEGATIVE)
        for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        if (spec.get(field) or 0) < 0
    ]
    return causes + check_job((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def check_service(spec: dict[str, Any]) -> list[Cause]:
    """Return the causes why a Service is refused."""
    causes: list[Cause] = []
    kind, ports = spec.get("type") or "ClusterIP", spec.get("ports") or []
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    if kind not in _SERVICE_TYPES:
        causes.append(one_of("spec.type", kind, _SERVICE_TYPES))
    if kind == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    names: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        causes += _service_port(port, at, named=len(ports) > 1)
        if name := port.get("name"):
            if name in names:
                causes.append(duplicate(f"{at}.name", name))
            names.add(name)
        same = (port.get("port"), port.get("protocol") or "TCP")
        if same in numbers:
            shown = {"port": same[0], "protocol": same[1]}
            causes.append(duplicate(at, shown))
        numbers.add(same)
    return causes


def _service_port(port: dict[str, Any], path: str, *, named: bool) -> Iterator[Cause]:
    name, number = port.get("name") or "", port.get("port") or 0
    # Nothing, null, 0 and the empty text are the port itself.
    target = port.get("targetPort") or number
    if named and not name:
        yield required(f"{path}.name")
    for fault in label_faults(name) if name else ():
        yield invalid_value(f"{path}.name", name, fault)
    if not 1 <= number <= 65535:
        yield invalid_value(f"{path}.port", number, _PORT)
    if port.get("protocol") and port["protocol"] not in _PROTOCOLS:
        yield one_of(f"{path}.protocol", port["protocol"], _PROTOCOLS)
    if isinstance(target, int) and not 1 <= target <= 65535:
        yield invalid_value(f"{path}.targetPort", target, _PORT)
    for fault in port_name_faults(target) if isinstance(target, str) and target else ():
        yield invalid_value(f"{path}.targetPort", target, fault)


def check_secret(manifest: dict[str, Any]) -> list[Cause]:
    """Return the causes why a Secret of a type with fixed keys is refused."""
    kind, strings = manifest.get("type") or "", manifest.get("stringData") or {}
    data = {**(manifest.get("data") or {}), **strings}
    causes = [required(f"data[{key}]") for key in _SECRET_KEYS.get(kind, ()) if key not in data]
    match kind:
        case "kubernetes.io/service-account-token":
            annotations = (manifest.get("metadata") or {}).get("annotations") or {}
            if not annotations.get(_ACCOUNT):
                causes.append(required(f"metadata.annotations[{_ACCOUNT}]"))
        case "kubernetes.io/basic-auth" if not {"username", "password"}.intersection(data):
            causes += [required("data[username]"), required("data[password]")]
        case "kubernetes.io/ssh-auth" if data.get("ssh-privatekey") == "":
            causes.append(required("data[ssh-privatekey]"))
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" if not causes:
            key = _SECRET_KEYS[kind][0]
            given = strings[key].encode() if key in strings else base64.b64decode(data[key])
            if why := json_fault(given):
                # The content of a Secret is never shown.
                causes.append(invalid_value(f"data[{key}]", "<secret contents redacted>", why))
    return causes


def check_disruption_budget(spec: dict[str, Any]) -> list[Cause]:
    """Return the causes why a PodDisruptionBudget is refused."""
    causes: list[Cause] = []
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown = "minAvailable and maxUnavailable cannot be both set"
        go = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        causes.append(invalid_value("spec", go, shown))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        causes += at_most_all(value, f"spec.{field}")
    return causes


def check_generated_selector(job: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse a new job that brings a selector and does not say so (pkg/apis/batch/validation).

    Args:
        job: the job, with the selector that the server made for it.
        given: the selector that it came with.

    Raises:
        Refusal: 422.
    """
    made = job["spec"].get("selector")
    if job["spec"].get("manualSelector") or not given or given == made:
        return
    both = given | {"matchLabels": (given.get("matchLabels") or {}) | made["matchLabels"]}
    cause = invalid_value("spec.selector", both, "`selector` not auto-generated")
    raise invalid("Job", job["metadata"]["name"], [cause], "batch")


def check_selector_of_update(before: dict[str, Any], after: dict[str, Any]) -> list[Cause]:
    """The reasons why a job cannot give up the selector that it was created with."""
    spec = after["spec"]
    if not before["spec"].get("manualSelector") or spec.get("manualSelector"):
        return []
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    wanted = {"controller-uid": before["metadata"]["uid"], "job-name": before["metadata"]["name"]}
    causes = [
        required(f"spec.template.metadata.labels[{label}]", f"must be '{value}'")
        for label, value in wanted.items()
        if labels.get(label) != value
    ]
    return [*causes, invalid_value("spec.selector", spec.get("selector"), "`selector` not auto-generated")]
