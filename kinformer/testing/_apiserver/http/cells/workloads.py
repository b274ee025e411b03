"""The cells of workloads, jobs, autoscalers and the budgets of pods."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.cells.rows import at, duration, label_selector, labels

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row

__all__ = ["CELLS"]

_TEMPLATE: Final = "spec.template.spec"
_SHOWN_METRICS: Final = 2


def _deployment(row: Row) -> list[Any]:
    return [
        row.name,
        row.ratio("status.readyReplicas", "spec.replicas"),
        row.at("status.updatedReplicas", 0),
        row.at("status.availableReplicas", 0),
        row.age,
        *row.containers(_TEMPLATE),
        label_selector(row.at("spec.selector"), nothing=""),
    ]


def _replicas(row: Row) -> list[Any]:
    return [row.name, *(row.at(path, 0) for path in ("spec.replicas", "status.replicas", "status.readyReplicas"))]


def _replica_set(row: Row) -> list[Any]:
    return [*_replicas(row), row.age, *row.containers(_TEMPLATE), label_selector(row.at("spec.selector"))]


def _replication_controller(row: Row) -> list[Any]:
    return [*_replicas(row), row.age, *row.containers(_TEMPLATE), labels(row.at("spec.selector"))]


def _stateful_set(row: Row) -> list[Any]:
    ready = row.ratio("status.readyReplicas", "spec.replicas")
    return [row.name, ready, row.age, *row.containers(_TEMPLATE)]


def _daemon_set(row: Row) -> list[Any]:
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return [
        row.name,
        *(row.at(f"status.{field}", 0) for field in (*counts, "numberAvailable")),
        labels(row.at(f"{_TEMPLATE}.nodeSelector")),
        row.age,
        *row.containers(_TEMPLATE),
        label_selector(row.at("spec.selector")),
    ]


def _job(row: Row) -> list[Any]:
    succeeded, parallelism = row.at("status.succeeded", 0), row.at("spec.parallelism", 0)
    if row.at("spec.completions") is not None:
        completions = row.ratio("status.succeeded", "spec.completions")
    else:
        completions = f"{succeeded}/1" + (f" of {parallelism}" if parallelism > 1 else "")
    return [
        row.name,
        _job_status(row),
        completions,
        _job_duration(row),
        row.age,
        *row.containers(_TEMPLATE),
        label_selector(row.at("spec.selector")),
    ]


def _job_status(row: Row) -> str:
    for condition, shown in (("Complete", "Complete"), ("Failed", "Failed")):
        if row.condition(condition).get("status") == "True":
            return shown
    if row.is_terminating:
        return "Terminating"
    later = ("Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((one for one in later if row.condition(one).get("status") == "True"), "Running")


def _job_duration(row: Row) -> str:
    started, ended = row.at("status.startTime"), row.at("status.completionTime")
    if not started:
        return ""
    if not ended:
        return row.since("status.startTime")
    return duration((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())


def _cron_job(row: Row) -> list[Any]:
    suspended = row.at("spec.suspend")
    template = "spec.jobTemplate.spec"
    return [
        row.name,
        row.at("spec.schedule", ""),
        row.at("spec.timeZone", "<none>"),
        "<unset>" if suspended is None else str(suspended),
        row.count("status.active"),
        row.since("status.lastScheduleTime") if row.at("status.lastScheduleTime") else "<none>",
        row.age,
        *row.containers(f"{template}.template.spec"),
        label_selector(row.at(f"{template}.selector")),
    ]


def _pod_template(row: Row) -> list[Any]:
    return [row.name, *row.containers("template.spec"), labels(row.at("template.metadata.labels"))]


def _controller_revision(row: Row) -> list[Any]:
    owner = next((one for one in row.list_at("metadata.ownerReferences") if one.get("controller")), None)
    shown = "<none>"
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        shown = f"{owner.get('kind', '').lower()}{'.' if group else ''}{group}/{owner.get('name', '')}"
    return [row.name, shown, row.at("revision", 0), row.age]


def _autoscaler(row: Row) -> list[Any]:
    lowest = row.at("spec.minReplicas")
    return [
        row.name,
        f"{row.at('spec.scaleTargetRef.kind', '')}/{row.at('spec.scaleTargetRef.name', '')}",
        _metrics(row),
        "<unset>" if lowest is None else str(lowest),
        row.at("spec.maxReplicas", 0),
        row.at("status.currentReplicas", 0),
        row.age,
    ]


def _metrics(row: Row) -> str:
    specs, states = row.list_at("spec.metrics"), row.list_at("status.currentMetrics")
    if not specs:
        return "<none>"
    shown = [_metric(spec, states[index] if index < len(states) else {}) for index, spec in enumerate(specs)]
    text = ", ".join(shown[:_SHOWN_METRICS])
    more = len(shown) - _SHOWN_METRICS
    return f"{text} + {more} more..." if more > 0 else text


def _metric(spec: dict[str, Any], state: dict[str, Any]) -> str:
    kind = str(spec.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    target, current = at(spec, f"{field}.target", {}), at(state, f"{field}.current", {})
    name = f"{at(spec, f'{field}.name', '')}: "
    average = target.get("averageValue")
    match kind:
        case "Pods":
            return f"{current.get('averageValue', '<unknown>')}/{average or '0'}"
        case "External" | "Object" if average is not None:
            return f"{current.get('averageValue', '<unknown>')}/{average} (avg)"
        case "External" | "Object":
            return f"{current.get('value', '0') if current else '<unknown>'}/{target.get('value', '0')}"
        case "Resource" | "ContainerResource" if average is not None:
            return f"{name}{current.get('averageValue', '<unknown>')}/{average}"
        case "Resource" | "ContainerResource":
            now, wanted = (one.get("averageUtilization") for one in (current, target))
            shown = "<unknown>" if now is None else f"{now}%"
            return f"{name}{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return "<unknown type>"


def _budget(row: Row) -> list[Any]:
    bounds = [str(row.at(f"spec.{field}", "N/A")) for field in ("minAvailable", "maxUnavailable")]
    return [row.name, *bounds, row.at("status.disruptionsAllowed", 0), row.age]


CELLS: Final[dict[tuple[str, str], CellsOf]] = {
    ("", "replicationcontrollers"): _replication_controller,
    ("", "podtemplates"): _pod_template,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("apps", "controllerrevisions"): _controller_revision,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    ("policy", "poddisruptionbudgets"): _budget,
}
