"""The behaviour of pods as a test scripts it: `ApiServer.pods`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from kinformer.testing._apiserver.rules.commands import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PodScript", "PodScripts"]


@dataclass(frozen=True, slots=True)
class PodScript:
    """The behaviour of a pod.

    Attributes:
        starts_after: seconds from the binding to a node until the containers start.
        ready_after: seconds from the start of a container until it is ready; `None` for never.
        runs_for: seconds that a container runs; `None` if its command or its owner decides.
        exit_code: the exit code of a container whose `runs_for` is over.
        image_error: the message of a failure to pull the image; "" if it can be pulled.
        stops_after: seconds that the containers take to end when the pod is deleted.
    """

    starts_after: float = 0.0
    ready_after: float | None = 0.0
    runs_for: float | None = None
    exit_code: int = 0
    image_error: str = ""
    stops_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a container that a test asked for.

    Attributes:
        container: the name of the container; "" for all.
        code: the exit code.
        reason: the reason, as "OOMKilled"; "" for the usual one.
    """

    container: str
    code: int
    reason: str


class PodScripts:
    """The behaviour of pods, in place of real containers: `ApiServer.pods`.

    Names may be patterns of the shell: `"web-*"`. The last call holds. Logs, commands and ports work in every server.
    The rest needs the controller "kubelet".
    """

    def __init__(self) -> None:
        self.on_change: Callable[[str, str], None] = lambda _namespace, _pattern: None
        """Called with the namespace and the pattern of pods whose script has changed."""
        self.runs_pods = False
        """A kubelet runs the pods."""
        self._answers: list[tuple[str, str, tuple[str, ...], Outcome]] = []
        self._logs: dict[tuple[str, str, str], str] = {}
        self._outputs: dict[tuple[str, str, str], str] = {}
        self._scripts: list[tuple[str, str, PodScript]] = []
        self._ready: list[tuple[str, str, bool]] = []
        self._uses: list[tuple[str, str, dict[str, str]]] = []
        self._exits: dict[tuple[str, str], list[Exit]] = {}
        self._ports: list[tuple[str, str, int, tuple[str, int]]] = []

    def logs(self, name: str, text: str, *, namespace: str = "default", container: str = "") -> None:
        """Let `kubectl logs` of a pod answer with a text.

        Args:
            name: the name of the pod.
            text: the lines.
            namespace: the namespace of the pod.
            container: the container that the text belongs to; "" for any.
        """
        self._logs[namespace, name, container] = text

    def script(
        self,
        name: str,
        *,
        namespace: str = "default",
        starts_after: float = 0.0,
        ready_after: float | None = 0.0,
        runs_for: float | None = None,
        exit_code: int = 0,
        image_error: str = "",
        stops_after: float = 0.0,
    ) -> None:
        """Script the behaviour of pods, those that are created later among them.

        Args:
            name: the name of the pod, or a pattern.
            namespace: the namespace of the pods.
            starts_after: seconds from the binding to a node until the containers start.
            ready_after: seconds from the start of a container until it is ready; `None` for never, before `ready` is
                called.
            runs_for: seconds that a container runs. By default, a command such as `sleep 5` or `sh -c "echo hello"`
                decides; without one, the containers of a Job run for a second, and all others until `crash`,
                `succeed` or a deletion ends them.
            exit_code: the exit code when `runs_for` is over.
            image_error: the message of a failure to pull the image; the containers then never start.
            stops_after: seconds that the containers take to end when the pod is deleted.
        """
        script = PodScript(starts_after, ready_after, runs_for, exit_code, image_error, stops_after)
        self._scripts = [one for one in self._scripts if one[:2] != (namespace, name)]
        self._scripts.append((namespace, name, script))
        self.on_change(namespace, name)

    def ready(self, name: str, ready: bool = True, *, namespace: str = "default") -> None:
        """Make pods ready, or not ready, from now on."""
        self._ready = [one for one in self._ready if one[:2] != (namespace, name)]
        self._ready.append((namespace, name, ready))
        self.on_change(namespace, name)

    def crash(
        self, name: str, *, namespace: str = "default", container: str = "", exit_code: int = 1, reason: str = ""
    ) -> None:
        """End the running containers of pods with an error; the kubelet restarts them as the restart policy says.

        Args:
            name: the name of the pod, or a pattern.
            namespace: the namespace of the pods.
            container: the container that ends; "" for all.
            exit_code: its exit code.
            reason: the reason, as "OOMKilled"; by default "Error".
        """
        self._exits.setdefault((namespace, name), []).append(Exit(container, exit_code, reason))
        self.on_change(namespace, name)
        del self._exits[namespace, name]

    def succeed(self, name: str, *, namespace: str = "default", container: str = "") -> None:
        """End the running containers of pods with the exit code 0."""
        self.crash(name, namespace=namespace, container=container, exit_code=0)

    def command(
        self,
        name: str,
        command: Sequence[str],
        output: str = "",
        *,
        namespace: str = "default",
        errors: str = "",
        exit_code: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Script the answer to `kubectl exec` of a command in pods.

        Args:
            name: the name of the pod, or a pattern.
            command: the command with its arguments.
            output: the text on its standard output.
            namespace: the namespace of the pods.
            errors: the text on its standard error.
            exit_code: its exit code.
            seconds: the seconds that it takes.
        """
        self._answers.append((namespace, name, tuple(command), Outcome(seconds, exit_code, output, errors)))

    def forward(self, name: str, port: int, host: str, to: int, *, namespace: str = "default") -> None:
        """Give a port of pods a listener, for `kubectl port-forward` and for requests by a proxy.

        A test runs its own server there, such as one of aiohttp. A port without a listener refuses connections.

        Args:
            name: the name of the pod, or a pattern.
            port: the port of the pod.
            host: the host of the listener, as "127.0.0.1".
            to: the port of the listener.
            namespace: the namespace of the pods, or a pattern.
        """
        self._ports.append((namespace, name, port, (host, to)))

    def uses(self, name: str, *, namespace: str = "default", cpu: str = "", memory: str = "") -> None:
        """Script the resources that each of the pods uses, for horizontal autoscalers.

        Args:
            name: the name of the pod, or a pattern.
            namespace: the namespace of the pods.
            cpu: the CPU, as "250m"; "" if it is not known.
            memory: the memory, as "64Mi"; "" if it is not known.
        """
        self._uses = [one for one in self._uses if one[:2] != (namespace, name)]
        self._uses.append((namespace, name, {"cpu": cpu, "memory": memory}))

    # For the kubelet, the autoscaler and the streams

    def answer_of(self, namespace: str, name: str, command: Sequence[str]) -> Outcome | None:
        """Return the scripted effect of a command in a pod, or `None`; the last script counts."""
        for place, pattern, known, outcome in reversed(self._answers):
            if place == namespace and fnmatchcase(name, pattern) and known == tuple(command):
                return outcome
        return None

    def listener_of(self, namespace: str, name: str, port: int) -> tuple[str, int] | None:
        """Return the host and port of the listener of a pod's port, or `None`."""
        for place, pattern, known, listener in reversed(self._ports):
            if known == port and fnmatchcase(namespace, place) and fnmatchcase(name, pattern):
                return listener
        return None

    def listens(self, namespace: str, name: str) -> bool:
        """Report whether a port of a pod has a listener."""
        return any(fnmatchcase(namespace, one[0]) and fnmatchcase(name, one[1]) for one in self._ports)

    def use_of(self, namespace: str, name: str, resource: str) -> str | None:
        """Return how much a pod uses of a resource, or `None`."""
        found = None
        for place, pattern, amounts in self._uses:
            if place == namespace and fnmatchcase(name, pattern):
                found = amounts.get(resource) or None
        return found

    def script_of(self, namespace: str, name: str) -> PodScript:
        """Return the script of a pod; the last `ready` for it counts."""
        found = PodScript()
        for place, pattern, script in self._scripts:
            if place == namespace and fnmatchcase(name, pattern):
                found = script
        for place, pattern, ready in self._ready:
            if place == namespace and fnmatchcase(name, pattern):
                found = replace(found, ready_after=0.0 if ready else None)
        return found

    def exits_of(self, namespace: str, name: str) -> list[Exit]:
        """Return the ends that are asked for right now."""
        return [
            one
            for (place, pattern), exits in self._exits.items()
            if place == namespace and fnmatchcase(name, pattern)
            for one in exits
        ]

    def write_output(self, namespace: str, name: str, container: str, text: str) -> None:
        """Keep the output of a container that has started."""
        self._outputs[namespace, name, container] = text

    def forget(self, namespace: str, name: str) -> None:
        """Drop the outputs of a pod that is gone."""
        for key in [key for key in self._outputs if key[:2] == (namespace, name)]:
            del self._outputs[key]

    def text_of(self, namespace: str, name: str, container: str) -> str | None:
        """The scripted log of a container, or its output, or `None`."""
        for known in (self._logs, self._outputs):
            for wanted in (container, ""):
                if (namespace, name, wanted) in known:
                    return known[namespace, name, wanted]
        return None
