"""Columns of tables: kubectl's for the common kinds, NAME and AGE for all others.

Cells are computed from the cached objects, so that a watch needs no second request. The rules are those of the API
server's own printers (kubernetes, pkg/printers/internalversion/printers.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Column", "PodSummary", "columns_of", "human_duration", "printable", "summarize_pod"]

Cell: TypeAlias = "Callable[[KubeObject, datetime], str]"

_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: its heading. The web UI computes "AGE" in the browser, so that ages keep counting.
        cell: returns the text for an object at a time.
    """

    title: str
    cell: Cell


def columns_of(resource: Resource) -> Sequence[Column]:
    """Return the columns of a resource, NAME first, without the namespace."""
    group = "" if resource.group == "events.k8s.io" else resource.group  # one kind, served under two groups
    return (Column("NAME", lambda obj, _: obj.name), *_COLUMNS.get((group, resource.plural), (_AGE,)))


def printable(text: str) -> str:
    """Return the text with visible control characters, because contents of a cluster must not drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def human_duration(seconds: float) -> str:
    """Return a duration as kubectl shows it: `47s`, `3m12s`, `5h20m`, `12d` (apimachinery, duration.HumanDuration)."""
    if seconds < -2:
        return "<invalid>"
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    years = days // 365
    for limit, number, unit, rest, small in (
        (minutes < 2, whole, "s", 0, ""),
        (minutes < 10, minutes, "m", whole % 60, "s"),
        (hours < 3, minutes, "m", 0, ""),
        (hours < 8, hours, "h", minutes % 60, "m"),
        (hours < 48, hours, "h", 0, ""),
        (days < 8, days, "d", hours % 24, "h"),
        (years < 2, days, "d", 0, ""),
        (years < 8, years, "y", days % 365, "d"),
    ):
        if limit:
            return f"{number}{unit}{rest}{small}" if rest else f"{number}{unit}"
    return f"{years}y"


class PodSummary(NamedTuple):
    """The state of a pod, in kubectl's terms."""

    ready: int
    containers: int
    status: str
    restarts: int
    last_restart: datetime | None


def summarize_pod(pod: KubeObject) -> PodSummary:
    """Return the state of a pod by kubectl's rules."""
    spec, status = _dict(pod.at("spec")), _dict(pod.at("status"))
    phase = str(status.get("phase") or "Unknown")
    word = str(status.get("reason") or phase)
    conditions = _conditions(pod)
    if conditions.get("PodScheduled", ("", ""))[1] == "SchedulingGated":
        word = "SchedulingGated"
    main = _dicts(status.get("containerStatuses"))
    sidecars = {c.get("name") for c in _dicts(spec.get("initContainers")) if c.get("restartPolicy") == "Always"}
    inits = _dicts(status.get("initContainerStatuses"))
    counted = [*main, *(c for c in inits if c.get("name") in sidecars)]
    ready = sum(bool(c.get("ready")) and "running" in _dict(c.get("state")) for c in counted)
    initializing = _init_word(inits, sidecars, len(_dicts(spec.get("initContainers"))))
    if initializing and conditions.get("Initialized", ("", ""))[0] != "True":
        word, counted = initializing, inits
    else:
        for container in main:
            reason = _state_word(_dict(container.get("state")))
            if reason:
                word = reason
                break
        if word == "Completed" and any("running" in _dict(c.get("state")) and c.get("ready") for c in main):
            word = "Running" if conditions.get("Ready", ("", ""))[0] == "True" else "NotReady"
    if pod.deletion_timestamp is not None:
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif phase not in {"Succeeded", "Failed"}:
            word = "Terminating"
    ends = [_time(_dict(_dict(c.get("lastState")).get("terminated")).get("finishedAt")) for c in counted]
    return PodSummary(
        ready=ready,
        containers=len(_dicts(spec.get("containers"))) + len(sidecars),
        status=word,
        restarts=sum(int(c.get("restartCount") or 0) for c in counted),
        last_restart=max((end for end in ends if end is not None), default=None),
    )


def _init_word(inits: Sequence[Mapping[str, Any]], sidecars: set[Any], count: int) -> str:
    """Return `Init:1/3`, `Init:CrashLoopBackOff`, ...; "" if all init containers are done."""
    for i, container in enumerate(inits):
        state = _dict(container.get("state"))
        terminated = state.get("terminated")
        if isinstance(terminated, dict) and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        reason = _state_word(state)
        return f"Init:{reason}" if reason and reason != "PodInitializing" else f"Init:{i}/{count}"
    return ""


def _state_word(state: Mapping[str, Any]) -> str:
    """Return the reason why a container does not run; "" if it runs."""
    if reason := _dict(state.get("waiting")).get("reason"):
        return str(reason)
    terminated = state.get("terminated")
    if not isinstance(terminated, dict):
        return ""
    if reason := terminated.get("reason"):
        return str(reason)
    return f"Signal:{signal}" if (signal := terminated.get("signal")) else f"ExitCode:{terminated.get('exitCode', 0)}"


def _pod_ready(pod: KubeObject, _: datetime) -> str:
    summary = summarize_pod(pod)
    return f"{summary.ready}/{summary.containers}"


def _pod_restarts(pod: KubeObject, now: datetime) -> str:
    summary = summarize_pod(pod)
    if not summary.restarts or summary.last_restart is None:
        return str(summary.restarts)
    return f"{summary.restarts} ({human_duration((now - summary.last_restart).total_seconds())} ago)"


def _age_of(path: str) -> Cell:
    def cell(obj: KubeObject, now: datetime) -> str:
        since = _time(obj.at(path))
        return _UNKNOWN if since is None else human_duration((now - since).total_seconds())

    return cell


def _value(path: str, default: str = _NONE) -> Cell:
    def cell(obj: KubeObject, _: datetime) -> str:
        value = obj.at(path)
        return default if value is None or value == "" else str(value)

    return cell


def _number(path: str) -> Cell:
    return _value(path, "0")


def _ratio(part: str, whole: str) -> Cell:
    def cell(obj: KubeObject, _: datetime) -> str:
        return f"{obj.at(part) or 0}/{obj.at(whole) or 0}"

    return cell


def _node_status(node: KubeObject, _: datetime) -> str:
    ready = _conditions(node).get("Ready", ("Unknown", ""))[0]
    words = ["Ready" if ready == "True" else "NotReady" if ready == "False" else "Unknown"]
    if node.at("spec.unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(node: KubeObject, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = {label.removeprefix(prefix) for label in node.labels if label.startswith(prefix)}
    return ",".join(sorted(role for role in roles if role)) or _NONE


def _job_status(job: KubeObject, _: datetime) -> str:
    met = {kind for kind, (status, _reason) in _conditions(job).items() if status == "True"}
    for condition, word in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in met:
            return word
    return "Terminating" if job.deletion_timestamp is not None else "Running"


def _job_completions(job: KubeObject, _: datetime) -> str:
    done, wanted = job.at("status.succeeded") or 0, job.at("spec.completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    workers = job.at("spec.parallelism") or 0
    return f"{done}/1 of {workers}" if workers > 1 else f"{done}/1"


def _job_duration(job: KubeObject, now: datetime) -> str:
    start, end = _time(job.at("status.startTime")), _time(job.at("status.completionTime"))
    return "" if start is None else human_duration(((end or now) - start).total_seconds())


def _since_last_schedule(cron_job: KubeObject, now: datetime) -> str:
    last = _time(cron_job.at("status.lastScheduleTime"))
    return _NONE if last is None else human_duration((now - last).total_seconds())


def _external_ip(service: KubeObject, _: datetime) -> str:
    kind, fixed = service.at("spec.type"), [str(ip) for ip in service.at("spec.externalIPs") or ()]
    if kind == "ExternalName":
        return str(service.at("spec.externalName") or _NONE)
    if kind == "LoadBalancer":
        return ",".join([*_ingress_points(service), *fixed]) or "<pending>"
    return ",".join(fixed) or _NONE


def _ingress_points(obj: KubeObject) -> list[str]:
    points = _dicts(obj.at("status.loadBalancer.ingress"))
    return [str(point.get("ip") or point.get("hostname") or "") for point in points]


def _service_ports(service: KubeObject, _: datetime) -> str:
    def port(entry: Mapping[str, Any]) -> str:
        node_port = f":{entry['nodePort']}" if entry.get("nodePort") else ""
        return f"{entry.get('port')}{node_port}/{entry.get('protocol', 'TCP')}"

    return ",".join(map(port, _dicts(service.at("spec.ports")))) or _NONE


def _ingress_hosts(ingress: KubeObject, _: datetime) -> str:
    return ",".join(str(rule["host"]) for rule in _dicts(ingress.at("spec.rules")) if rule.get("host")) or "*"


def _ingress_address(ingress: KubeObject, _: datetime) -> str:
    return ",".join(_ingress_points(ingress))


def _ingress_ports(ingress: KubeObject, _: datetime) -> str:
    return "80, 443" if ingress.at("spec.tls") else "80"


def _data_count(obj: KubeObject, _: datetime) -> str:
    return str(sum(len(_dict(obj.at(part))) for part in ("data", "binaryData")))


def _secret_data_count(secret: KubeObject, _: datetime) -> str:
    return str(len(_dict(secret.at("data"))))


def _access_modes(obj: KubeObject, _: datetime) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = obj.at("status.accessModes") or obj.at("spec.accessModes") or ()
    return ",".join(short.get(mode, str(mode)) for mode in modes)


def _claim(volume: KubeObject, _: datetime) -> str:
    reference = _dict(volume.at("spec.claimRef"))
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def _slice_endpoints(endpoint_slice: KubeObject, _: datetime) -> str:
    endpoints = _dicts(endpoint_slice.at("endpoints"))
    return _few(str(address) for endpoint in endpoints for address in endpoint.get("addresses") or ())


def _slice_ports(endpoint_slice: KubeObject, _: datetime) -> str:
    return _few(str(port.get("port") or "*") for port in _dicts(endpoint_slice.at("ports")))


def _endpoints(endpoints: KubeObject, _: datetime) -> str:
    return _few(
        f"{address.get('ip')}:{port.get('port')}" if port else str(address.get("ip"))
        for subset in _dicts(endpoints.at("subsets"))
        for address in _dicts(subset.get("addresses"))
        for port in _dicts(subset.get("ports")) or [{}]
    )


def _event_object(event: KubeObject, _: datetime) -> str:
    reference = _dict(event.at("involvedObject") or event.at("regarding"))
    return f"{str(reference.get('kind', '')).lower()}/{reference.get('name', '')}"


def _event_message(event: KubeObject, _: datetime) -> str:
    return str(event.at("message") or event.at("note") or "").strip()


def _event_last_seen(event: KubeObject, now: datetime) -> str:
    for path in ("series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime",
                 "metadata.creationTimestamp"):  # fmt: skip
        if (last := _time(event.at(path))) is not None:
            return human_duration((now - last).total_seconds())
    return _UNKNOWN


def _role_of(binding: KubeObject, _: datetime) -> str:
    return f"{binding.at('roleRef.kind', '')}/{binding.at('roleRef.name', '')}"


def _few(items: Iterable[str], most: int = 3) -> str:
    found = [*items]
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return ",".join(found[:most]) + more or "<unset>"


def _conditions(obj: KubeObject) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition, by its type."""
    return {
        str(condition.get("type")): (str(condition.get("status")), str(condition.get("reason") or ""))
        for condition in _dicts(obj.at("status.conditions"))
    }


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _time(value: Any) -> datetime | None:
    """Return a time stamp of the API (RFC 3339) as a datetime; `None` if it is not one."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


_AGE: Final = Column("AGE", _age_of("metadata.creationTimestamp"))

_COLUMNS: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("", "pods"): (
        Column("READY", _pod_ready),
        Column("STATUS", lambda pod, _: summarize_pod(pod).status),
        Column("RESTARTS", _pod_restarts),
        _AGE,
        Column("NODE", _value("spec.nodeName")),
    ),
    ("", "nodes"): (
        Column("STATUS", _node_status),
        Column("ROLES", _node_roles),
        _AGE,
        Column("VERSION", _value("status.nodeInfo.kubeletVersion", "")),
    ),
    ("", "namespaces"): (Column("STATUS", _value("status.phase")), _AGE),
    ("", "configmaps"): (Column("DATA", _data_count), _AGE),
    ("", "secrets"): (Column("TYPE", _value("type")), Column("DATA", _secret_data_count), _AGE),
    ("", "services"): (
        Column("TYPE", _value("spec.type")),
        Column("CLUSTER-IP", _value("spec.clusterIP")),
        Column("EXTERNAL-IP", _external_ip),
        Column("PORT(S)", _service_ports),
        _AGE,
    ),
    ("", "endpoints"): (Column("ENDPOINTS", _endpoints), _AGE),
    ("", "persistentvolumeclaims"): (
        Column("STATUS", _value("status.phase")),
        Column("VOLUME", _value("spec.volumeName", "")),
        Column("CAPACITY", _value("status.capacity.storage", "")),
        Column("ACCESS MODES", _access_modes),
        Column("STORAGECLASS", _value("spec.storageClassName", "")),
        _AGE,
    ),
    ("", "persistentvolumes"): (
        Column("CAPACITY", _value("spec.capacity.storage", "")),
        Column("ACCESS MODES", _access_modes),
        Column("RECLAIM POLICY", _value("spec.persistentVolumeReclaimPolicy", "")),
        Column("STATUS", _value("status.phase")),
        Column("CLAIM", _claim),
        Column("STORAGECLASS", _value("spec.storageClassName", "")),
        _AGE,
    ),
    ("", "events"): (
        Column("LAST SEEN", _event_last_seen),
        Column("TYPE", _value("type")),
        Column("REASON", _value("reason")),
        Column("OBJECT", _event_object),
        Column("MESSAGE", _event_message),
    ),
    ("apps", "deployments"): (
        Column("READY", _ratio("status.readyReplicas", "spec.replicas")),
        Column("UP-TO-DATE", _number("status.updatedReplicas")),
        Column("AVAILABLE", _number("status.availableReplicas")),
        _AGE,
    ),
    ("apps", "replicasets"): (
        Column("DESIRED", _number("spec.replicas")),
        Column("CURRENT", _number("status.replicas")),
        Column("READY", _number("status.readyReplicas")),
        _AGE,
    ),
    ("apps", "statefulsets"): (Column("READY", _ratio("status.readyReplicas", "spec.replicas")), _AGE),
    ("apps", "daemonsets"): (
        Column("DESIRED", _number("status.desiredNumberScheduled")),
        Column("CURRENT", _number("status.currentNumberScheduled")),
        Column("READY", _number("status.numberReady")),
        Column("UP-TO-DATE", _number("status.updatedNumberScheduled")),
        Column("AVAILABLE", _number("status.numberAvailable")),
        _AGE,
    ),
    ("batch", "jobs"): (
        Column("STATUS", _job_status),
        Column("COMPLETIONS", _job_completions),
        Column("DURATION", _job_duration),
        _AGE,
    ),
    ("batch", "cronjobs"): (
        Column("SCHEDULE", _value("spec.schedule")),
        Column("TIMEZONE", _value("spec.timeZone")),
        Column("SUSPEND", lambda cron_job, _: str(bool(cron_job.at("spec.suspend")))),
        Column("ACTIVE", lambda cron_job, _: str(len(cron_job.at("status.active") or ()))),
        Column("LAST SCHEDULE", _since_last_schedule),
        _AGE,
    ),
    ("networking.k8s.io", "ingresses"): (
        Column("CLASS", _value("spec.ingressClassName")),
        Column("HOSTS", _ingress_hosts),
        Column("ADDRESS", _ingress_address),
        Column("PORTS", _ingress_ports),
        _AGE,
    ),
    ("discovery.k8s.io", "endpointslices"): (
        Column("ADDRESSTYPE", _value("addressType")),
        Column("PORTS", _slice_ports),
        Column("ENDPOINTS", _slice_endpoints),
        _AGE,
    ),
    ("coordination.k8s.io", "leases"): (Column("HOLDER", _value("spec.holderIdentity", "")), _AGE),
    ("rbac.authorization.k8s.io", "rolebindings"): (Column("ROLE", _role_of), _AGE),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (Column("ROLE", _role_of), _AGE),
    ("storage.k8s.io", "storageclasses"): (
        Column("PROVISIONER", _value("provisioner")),
        Column("RECLAIMPOLICY", _value("reclaimPolicy", "Delete")),
        Column("VOLUMEBINDINGMODE", _value("volumeBindingMode")),
        _AGE,
    ),
    ("autoscaling", "horizontalpodautoscalers"): (
        Column("MINPODS", _value("spec.minReplicas", "1")),
        Column("MAXPODS", _number("spec.maxReplicas")),
        Column("REPLICAS", _number("status.currentReplicas")),
        _AGE,
    ),
}
"""The columns after NAME, by group and plural."""
