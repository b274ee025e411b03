"""The cells of pods, services, nodes, Events and the other kinds of the core group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.cells.rows import at, first_few, joined, labels

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row

__all__ = ["CELLS"]

_FINISHED: Final = {"Succeeded", "Failed"}
_ROLE: Final = "node-role.kubernetes.io/"


def _pod(row: Row) -> list[Any]:
    containers = _PodContainers(row)
    reason = containers.reason
    if row.is_terminating and row.at("status.reason") == "NodeLost":
        reason = "Unknown"
    elif row.is_terminating and row.at("status.phase") not in _FINISHED:
        reason = "Terminating"
    restarts = str(containers.restarts)
    if containers.restarts and containers.last_restart:
        restarts += f" ({_since(row, containers.last_restart)} ago)"
    addresses = row.list_at("status.podIPs")
    return [
        row.name,
        f"{containers.ready}/{containers.total}",
        reason,
        restarts,
        row.age,
        (addresses[0].get("ip") if addresses else "") or "<none>",
        row.at("spec.nodeName") or "<none>",
        row.at("status.nominatedNodeName") or "<none>",
        _readiness_gates(row),
    ]


def _since(row: Row, moment: str) -> str:
    return type(row)({"moment": moment}, row.now).since("moment")


def _readiness_gates(row: Row) -> str:
    gates = row.list_at("spec.readinessGates")
    if not gates:
        return "<none>"
    met = sum(row.condition(str(gate.get("conditionType"))).get("status") == "True" for gate in gates)
    return f"{met}/{len(gates)}"


class _PodContainers:
    """The state of a pod's containers: how many are ready, how often they were restarted, and why they do not run.

    Attributes:
        total: containers, with the init containers that go on running.
        ready: those of them that are ready.
        restarts: their restarts.
        last_restart: the time of the last one; "" if it is unknown.
        reason: the status of the pod in one word.
    """

    def __init__(self, row: Row) -> None:
        init = row.list_at("spec.initContainers")
        self._sidecars = {one.get("name") for one in init if one.get("restartPolicy") == "Always"}
        self._row = row
        self._init_count = len(init)
        self.total = row.count("spec.containers") + len(self._sidecars)
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""
        self.reason = str(row.at("status.reason") or row.at("status.phase", ""))
        if row.condition("PodScheduled").get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        is_initializing = self._read_init()
        if not is_initializing or row.condition("Initialized").get("status") == "True":
            statuses = row.list_at("status.initContainerStatuses")
            self.restarts, self.last_restart = 0, ""
            for status in statuses:
                if status.get("name") in self._sidecars:
                    self._count_restarts(status)
            self._read_containers()

    def _count_restarts(self, status: dict[str, Any]) -> None:
        self.restarts += status.get("restartCount", 0)
        # Times of one form are in the order of their texts.
        self.last_restart = max(self.last_restart, at(status, "lastState.terminated.finishedAt", ""))

    def _read_init(self) -> bool:
        """Read the init containers; say whether one of them holds the pod up."""
        for index, status in enumerate(self._row.list_at("status.initContainerStatuses")):
            self._count_restarts(status)
            ended = at(status, "state.terminated")
            waits_for = at(status, "state.waiting.reason", "")
            if ended is not None and not ended.get("exitCode"):
                continue
            if status.get("name") in self._sidecars and status.get("started"):
                self.ready += bool(status.get("ready"))
                continue
            if ended is not None:
                self.reason = f"Init:{_end_of(ended)}"
            elif waits_for not in {"", "PodInitializing"}:
                self.reason = f"Init:{waits_for}"
            else:
                self.reason = f"Init:{index}/{self._init_count}"
            return True
        return False

    def _read_containers(self) -> None:
        runs, error = False, ""
        for status in reversed(self._row.list_at("status.containerStatuses")):
            self._count_restarts(status)
            ended = at(status, "state.terminated")
            if waits_for := at(status, "state.waiting.reason", ""):
                self.reason = waits_for
            elif ended is not None:
                self.reason = _end_of(ended)
                if ended.get("exitCode"):
                    error = self.reason
            elif status.get("ready") and at(status, "state.running") is not None:
                runs = True
                self.ready += 1
        if self.reason != "Completed":
            return
        if runs and self._row.condition("Ready").get("status") == "True":
            self.reason = "Running"
        elif error:
            self.reason = error
        elif runs:
            self.reason = "NotReady"


def _end_of(ended: dict[str, Any]) -> str:
    """The end of a container in one word."""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _node(row: Row) -> list[Any]:
    ready = row.condition("Ready")
    status = "Unknown" if not ready else "Ready" if ready.get("status") == "True" else "NotReady"
    if row.at("spec.unschedulable"):
        status += ",SchedulingDisabled"
    given = row.at("metadata.labels", {})
    roles = {key.removeprefix(_ROLE) for key in given if key.startswith(_ROLE)} | {given.get("kubernetes.io/role", "")}
    info = row.at("status.nodeInfo", {})
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        row.name,
        status,
        joined(sorted(roles - {""})),
        row.age,
        info.get("kubeletVersion", ""),
        *(_address(row, kind) for kind in ("InternalIP", "ExternalIP")),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _address(row: Row, kind: str) -> str:
    found = (one.get("address", "") for one in row.list_at("status.addresses") if one.get("type") == kind)
    return next(found, "<none>")


def load_balancer(row: Row) -> str:
    """The addresses of a load balancer, or its names where it has none, in order."""
    given = (one.get("ip") or one.get("hostname") for one in row.list_at("status.loadBalancer.ingress"))
    return ",".join(sorted({str(one) for one in given if one}))


def _external_addresses(row: Row) -> str:
    kind, given = row.at("spec.type"), row.list_at("spec.externalIPs")
    match kind:
        case "ClusterIP" | "NodePort":
            return joined(given)
        case "LoadBalancer":
            balanced = load_balancer(row)
            return joined([*([balanced] if balanced else []), *given], "<pending>")
        case "ExternalName":
            return str(row.at("spec.externalName", ""))
    return "<unknown>"


def _port(port: dict[str, Any]) -> str:
    at_nodes = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{at_nodes}/{port.get('protocol', '')}"


def _service(row: Row) -> list[Any]:
    addresses = row.list_at("spec.clusterIPs")
    return [
        row.name,
        row.at("spec.type", ""),
        addresses[0] if addresses else "<none>",
        _external_addresses(row),
        joined(_port(port) for port in row.list_at("spec.ports")),
        row.age,
        labels(row.at("spec.selector")),
    ]


def _endpoints(row: Row) -> list[Any]:
    found: list[str] = []
    for subset in row.list_at("subsets"):
        addresses = [str(one.get("ip", "")) for one in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += addresses
        for port in subset.get("ports") or ():
            found += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in addresses]
    nothing = "" if row.list_at("subsets") else "<none>"
    return [row.name, first_few(found, len(found), nothing), row.age]


def _event(row: Row) -> list[Any]:
    first = row.since("firstTimestamp" if row.at("firstTimestamp") else "eventTime")
    last = row.since("lastTimestamp") if row.at("lastTimestamp") else first
    count = row.at("count", 0) or 1
    if row.at("series") is not None:
        last, count = row.since("series.lastObservedTime"), row.at("series.count", 0)
    name = row.at("involvedObject.name", "")
    source = row.at("source.component") or row.at("reportingComponent", "")
    instance = row.at("source.host") or row.at("reportingInstance", "")
    return [
        last,
        row.at("type", ""),
        row.at("reason", ""),
        row.at("involvedObject.kind", "").lower() + (f"/{name}" if name else ""),
        row.at("involvedObject.fieldPath", ""),
        f"{source}, {instance}" if instance else source,
        row.at("message", "").strip(),
        first,
        count,
        row.name,
    ]


def _quota(row: Row) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    used = row.at("status.used", {})
    for resource, hard in sorted(row.at("status.hard", {}).items()):
        (limits if resource.startswith("limits.") else requests).append(f"{resource}: {used.get(resource, '0')}/{hard}")
    return [row.name, ", ".join(requests), ", ".join(limits), row.age]


def _component(row: Row) -> list[Any]:
    healthy = next((one for one in row.list_at("conditions") if one.get("type") == "Healthy"), None)
    if healthy is None:
        return [row.name, "Unknown", "", ""]
    status = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [row.name, status, healthy.get("message", ""), healthy.get("error", "")]


CELLS: Final[dict[tuple[str, str], CellsOf]] = {
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("", "services"): _service,
    ("", "endpoints"): _endpoints,
    ("", "events"): _event,
    ("", "resourcequotas"): _quota,
    ("", "componentstatuses"): _component,
    ("", "namespaces"): lambda row: [row.name, row.at("status.phase", ""), row.age],
    ("", "configmaps"): lambda row: [row.name, row.count("data") + row.count("binaryData"), row.age],
    ("", "secrets"): lambda row: [row.name, row.at("type", ""), row.count("data"), row.age],
    ("", "serviceaccounts"): lambda row: [row.name, row.age],
}
