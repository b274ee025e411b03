"""The containers of one pod in time: a pure state machine, and the status that a kubelet makes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.controllers.conditions import condition_of, made
from kinformer.testing._apiserver.rules.commands import Outcome, interpret

if TYPE_CHECKING:
    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.rules.pod_scripts import Exit, PodScript

__all__ = ["ContainerRun", "PodRun"]

_FIRST_BACKOFF: Final = 10.0
_LAST_BACKOFF: Final = 300.0
_JOB_SECONDS: Final = 1.0
"""Seconds that a container of a Job runs if neither a script nor its command says otherwise."""


@dataclass(slots=True, eq=False)
class ContainerRun:
    """The state of a container.

    Attributes:
        spec: the container as the pod has it.
        state: "waiting", "running" or "terminated".
        reason: why it waits, or ended.
        message: more about it.
        since: when it started or ended.
        started: when it started last.
        starts_at: when a waiting container starts.
        ends_at: when it ends by itself.
        ends_with: its exit code then, or now that it has ended.
        restarts: how often it was restarted.
        last: its last end, as the status shows it.
        backoff: seconds before the next restart.
        output: the text that it prints.
    """

    spec: Manifest
    state: str = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    since: datetime | None = None
    started: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ends_with: int = 0
    restarts: int = 0
    last: Manifest = field(default_factory=dict)
    backoff: float = 0.0
    output: str = ""
    ready: bool = False

    @property
    def name(self) -> str:
        """The name."""
        name: str = self.spec["name"]
        return name

    @property
    def is_sidecar(self) -> bool:
        """Report whether it is an init container that goes on beside the others."""
        return self.spec.get("restartPolicy") == "Always"

    def end(self, now: datetime, code: int, reason: str = "") -> None:
        """Let it end."""
        self.state, self.since = "terminated", now
        self.ends_with, self.ends_at, self.ready = code, None, False
        self.reason = reason or ("Error" if code else "Completed")


class PodRun:
    """The containers of a pod.

    Args:
        pod: the pod, which has a node.
        address: its IP address.
        host: the IP address of its node.
        now: the time.
        script: its behaviour.
    """

    def __init__(self, pod: Manifest, address: str, host: str, now: datetime, script: PodScript) -> None:
        spec = pod["spec"]
        self.address = address
        self.host = host
        self.begun = now
        self.news: list[tuple[str, str, str, bool]] = []
        """News for Events: container, reason, message, whether it is a warning."""
        self._uid: str = pod["metadata"]["uid"]
        # As a kubelet writes it in messages (kubelet/util/format/pod.go, PodDesc).
        self._described = f"{pod['metadata']['name']}_{pod['metadata']['namespace']}({self._uid})"
        self._policy: str = spec.get("restartPolicy", "Always")
        self._of_job = any(r["kind"] == "Job" for r in pod["metadata"].get("ownerReferences") or ())
        self._gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
        self.init = [ContainerRun(one) for one in spec.get("initContainers") or ()]
        self.main = [ContainerRun(one) for one in spec["containers"]]
        first = now + timedelta(seconds=script.starts_after)
        for run in (*self.init, *self.main):
            run.starts_at = first
            if self.init and run in self.main:
                run.reason = "PodInitializing"
        self._killed = False
        self._resume(pod.get("status") or {})

    def _resume(self, status: Manifest) -> None:
        """Take the containers over that run already, as a kubelet does that is restarted."""
        known = {
            one["name"]: one
            for field in ("initContainerStatuses", "containerStatuses")
            for one in status.get(field) or ()
        }
        for run in (*self.init, *self.main):
            found = known.get(run.name, {})
            state = found.get("state") or {}
            if "running" in state:
                run.state, run.reason = "running", ""
                run.since = run.started = datetime.fromisoformat(state["running"]["startedAt"])
            elif "terminated" in state:
                ended = state["terminated"]
                run.state, run.reason = "terminated", ended.get("reason", "")
                run.ends_with = ended["exitCode"]
                run.started = datetime.fromisoformat(ended["startedAt"])
                run.since = datetime.fromisoformat(ended["finishedAt"])
            else:
                continue
            run.restarts, run.last = found.get("restartCount", 0), found.get("lastState") or {}
            if status.get("startTime"):
                self.begun = datetime.fromisoformat(status["startTime"])

    # In time

    def advance(self, now: datetime, script: PodScript, exits: list[Exit]) -> None:
        """Carry out everything that happens up to now."""
        for asked in exits:
            for run in (*self.init, *self.main):
                if run.state == "running" and asked.container in {"", run.name}:
                    run.end(now, asked.code, asked.reason)
        moved = True
        while moved:
            moved = False
            for run in self._startable():
                moved = self._move(run, now, script) or moved
        for run in (*self.init, *self.main):
            run.ready = self._is_ready(run, now, script)

    def next_due(self, now: datetime, script: PodScript) -> datetime | None:
        """Return when something happens next by itself; `None` if nothing does."""
        dues = []
        for run in self._startable():
            if run.state == "waiting" and run.starts_at is not None and not script.image_error:
                dues.append(run.starts_at)
            if run.state == "running":
                dues.extend(due for due in (run.ends_at, self._ready_at(run, script)) if due is not None and due > now)
        return min(dues, default=None)

    def kill(self, now: datetime) -> None:
        """End all containers, as the kubelet does for a deleted pod."""
        self._killed = True
        for run in (*self.init, *self.main):
            if run.state == "running":
                # Most programs end well on SIGTERM.
                run.end(now, 0)

    @property
    def phase(self) -> str:
        """The phase of the pod."""
        if self._killed:
            return "Failed" if any(run.ends_with or not run.started for run in self.main) else "Succeeded"
        if any(not self._passed(run) for run in self.init):
            failed = self._policy == "Never" and any(run.state == "terminated" and run.ends_with for run in self.init)
            return "Failed" if failed else "Pending"
        if all(run.state == "terminated" and not self._restarts(run) for run in self.main):
            return "Failed" if any(run.ends_with for run in self.main) else "Succeeded"
        if all(run.state == "waiting" and not run.restarts for run in self.main):
            return "Pending"
        return "Running"

    def _passed(self, run: ContainerRun) -> bool:
        """Report whether an init container lets the next one start."""
        if run.is_sidecar:
            return run.started is not None
        return run.state == "terminated" and not run.ends_with

    def _startable(self) -> list[ContainerRun]:
        """The containers whose turn it is, or was."""
        turn = []
        for run in self.init:
            turn.append(run)
            if not self._passed(run):
                return turn
        return [*turn, *self.main]

    def _restarts(self, run: ContainerRun) -> bool:
        if run in self.init and not run.is_sidecar:
            return bool(run.ends_with) and self._policy != "Never"
        return run.is_sidecar or self._policy == "Always" or (self._policy == "OnFailure" and bool(run.ends_with))

    def _move(self, run: ContainerRun, now: datetime, script: PodScript) -> bool:
        """Take one container one step further; reports whether there was one."""
        if run.state == "waiting":
            if script.image_error:
                if run.reason != "ImagePullBackOff":
                    self._image_failed(run, script.image_error)
                return False
            if run.starts_at is not None and run.starts_at <= now:
                self._start(run, now, script)
                return True
        elif run.state == "running" and run.ends_at is not None and run.ends_at <= now:
            run.end(run.ends_at, run.ends_with)
            return True
        elif run.state == "terminated" and self._restarts(run):
            self._restart(run, now)
            return True
        return False

    def _image_failed(self, run: ContainerRun, error: str) -> None:
        image = run.spec["image"]
        run.reason, run.message = "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}'
        self.news.append((run.name, "Pulling", f'Pulling image "{image}"', False))
        self.news.append((run.name, "Failed", f'Failed to pull image "{image}": {error}', True))
        self.news.append((run.name, "Failed", "Error: ErrImagePull", True))
        self.news.append((run.name, "BackOff", f'Back-off pulling image "{image}"', False))

    def _start(self, run: ContainerRun, now: datetime, script: PodScript) -> None:
        image = run.spec["image"]
        pulled = f'Container image "{image}" already present on machine and can be accessed by the pod'
        self.news.append((run.name, "Pulled", pulled, False))
        self.news.append((run.name, "Created", "Container created", False))
        self.news.append((run.name, "Started", "Container started", False))
        run.state, run.reason, run.message = "running", "", ""
        run.since = run.started = now
        run.ends_at = None
        outcome = self._outcome(run, script)
        run.output = outcome.output
        if outcome.seconds is not None:
            run.ends_at = now + timedelta(seconds=outcome.seconds)
            run.ends_with = outcome.exit_code

    def _outcome(self, run: ContainerRun, script: PodScript) -> Outcome:
        command = [*(run.spec.get("command") or ()), *(run.spec.get("args") or ())]
        environment = {one["name"]: one.get("value", "") for one in run.spec.get("env") or ()}
        found = interpret(command, environment)
        if run in self.main and script.runs_for is not None:
            return Outcome(script.runs_for, script.exit_code, found.output if found else "")
        if found is not None:
            return found
        if run in self.init and not run.is_sidecar:
            return Outcome()
        return Outcome(_JOB_SECONDS if self._of_job and not run.is_sidecar else None)

    def _restart(self, run: ContainerRun, now: datetime) -> None:
        """Start it again: at first at once, then after a time that doubles with every restart."""
        run.last = {"terminated": self._ended(run)}
        ended = run.since or now
        if run.started is not None and ended - run.started > timedelta(seconds=2 * _LAST_BACKOFF):
            run.backoff = 0.0
        run.state, run.starts_at = "waiting", ended + timedelta(seconds=run.backoff)
        run.restarts += 1
        if run.backoff:
            run.reason = "CrashLoopBackOff"
            wait, described = _spelled(run.backoff), self._described
            run.message = f"back-off {wait} restarting failed container={run.name} pod={described}"
            self.news.append(
                (run.name, "BackOff", f"Back-off restarting failed container {run.name} in pod {described}", True)
            )
        else:
            run.reason = "ContainerCreating"
        run.backoff = min(run.backoff * 2 or _FIRST_BACKOFF, _LAST_BACKOFF)

    def _ready_at(self, run: ContainerRun, script: PodScript) -> datetime | None:
        if run.started is None or script.ready_after is None:
            return None
        delay = float((run.spec.get("readinessProbe") or {}).get("initialDelaySeconds") or 0)
        return run.started + timedelta(seconds=max(delay, script.ready_after))

    def _is_ready(self, run: ContainerRun, now: datetime, script: PodScript) -> bool:
        if run in self.init and not run.is_sidecar:
            return run.state == "terminated" and not run.ends_with
        due = self._ready_at(run, script)
        return run.state == "running" and due is not None and due <= now

    # The status

    def status(self, pod: Manifest, now: str) -> Manifest:
        """Return the status of the pod."""
        before = pod.get("status") or {}
        phase = self.phase
        generation = pod["metadata"].get("generation")
        status: dict[str, Any] = {} if generation is None else {"observedGeneration": generation}
        status |= {"phase": phase, "conditions": self._conditions(before, phase, now, generation)}
        if self.host:
            status |= {"hostIP": self.host, "hostIPs": [{"ip": self.host}]}
        if self.address and any(run.started for run in (*self.init, *self.main)):
            status |= {"podIP": self.address, "podIPs": [{"ip": self.address}]}
        status["startTime"] = _stamp(self.begun)
        if self.init:
            status["initContainerStatuses"] = [self._container(run) for run in self.init]
        status["containerStatuses"] = [self._container(run) for run in self.main]
        kept = ("qosClass", "nominatedNodeName", "resize", "ephemeralContainerStatuses", "message", "reason")
        return status | {name: before[name] for name in kept if name in before}

    def _conditions(self, before: Manifest, phase: str, now: str, generation: int | None) -> list[Manifest]:
        ready = all(run.ready for run in self.main) and all(run.ready for run in self.init if run.is_sidecar)
        unready = [run.name for run in self.main if not run.ready]
        why, what = "", ""
        if phase in {"Succeeded", "Failed"}:
            ready, why = False, "PodCompleted" if phase == "Succeeded" else "PodFailed"
        elif not ready:
            why, what = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
        passed = phase in {"Succeeded", "Running"} or all(self._passed(run) for run in self.init)
        waiting = f"containers with incomplete status: [{' '.join(r.name for r in self.init if not self._passed(r))}]"
        started = any(run.started for run in (*self.init, *self.main)) and phase not in {"Succeeded", "Failed"}
        gates_open = all((condition_of(before, gate) or {}).get("status") == "True" for gate in self._gates)
        gate = "" if gates_open or not ready else "ReadinessGatesNotReady"
        done = "PodCompleted" if phase == "Succeeded" else ""
        wanted = [
            made("PodReadyToStartContainers", _word(started), now),
            made(
                "Initialized",
                _word(passed),
                now,
                done if passed else "ContainersNotInitialized",
                "" if passed else waiting,
            ),
            made("Ready", _word(ready and gates_open), now, why or gate, what),
            made("ContainersReady", _word(ready), now, why, what),
            made("PodScheduled", "True", now),
        ]
        result = []
        for condition in wanted:
            old = condition_of(before, condition["type"])
            if old is not None and old["status"] == condition["status"]:
                condition["lastTransitionTime"] = old["lastTransitionTime"]
            more: Manifest = {"lastProbeTime": None}
            if generation is not None:
                more["observedGeneration"] = generation
            result.append(condition | more)
        ours = {condition["type"] for condition in wanted}
        return [one for one in before.get("conditions") or () if one["type"] not in ours] + result

    def _container(self, run: ContainerRun) -> Manifest:
        state: Manifest
        if run.state == "running":
            assert run.started is not None
            state = {"running": {"startedAt": _stamp(run.started)}}
        elif run.state == "terminated":
            state = {"terminated": self._ended(run)}
        else:
            state = {"waiting": {"reason": run.reason} | ({"message": run.message} if run.message else {})}
        image = _full_name(run.spec["image"])
        entry: Manifest = {
            "name": run.name,
            "state": state,
            "lastState": run.last,
            "ready": run.ready,
            "restartCount": run.restarts,
            "image": image if run.started else run.spec["image"],
            "imageID": f"{image.partition(':')[0]}@sha256:{_digest(image)}" if run.started else "",
        }
        if run.started:
            entry["containerID"] = self._identity(run)
        entry["started"] = run.state == "running"
        if run.started and run.spec.get("resources"):
            resources = {n: v for n, v in run.spec["resources"].items() if n in {"limits", "requests"} and v}
            entry |= {"resources": resources} if resources else {}
            entry |= {"allocatedResources": resources["requests"]} if resources.get("requests") else {}
        return entry

    def _ended(self, run: ContainerRun) -> Manifest:
        assert run.started is not None
        assert run.since is not None
        return {
            "exitCode": run.ends_with,
            "reason": run.reason,
            "startedAt": _stamp(run.started),
            "finishedAt": _stamp(run.since),
            "containerID": self._identity(run),
        }

    def _identity(self, run: ContainerRun) -> str:
        return f"containerd://{_digest(f'{self._uid}/{run.name}/{run.restarts}')}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _word(truth: bool) -> str:
    return "True" if truth else "False"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _spelled(seconds: float) -> str:
    """Spell a duration as Go does: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _full_name(image: str) -> str:
    """Return the name of an image with its registry and tag, as a container runtime reports it."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
