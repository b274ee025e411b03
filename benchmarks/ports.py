"""Question: what do the watchers of other projects cost on kinformer, and what do they miss no longer?

Three programs follow 1,000 recorded pods (8.9 KB): the watchers of KubeSpawner, dask-gateway and Airflow, as they are
in the wheels on PyPI, and the ports in `examples/ports`. Each runs in a process of its own, originals before ports:

- 1,000 updates at 100 a second: CPU time of the process per update;
- 40 quiet seconds: requests, CPU time, and the memory afterwards;
- 10 seconds in which the server answers 500: requests;
- a pod deleted meanwhile, in a gap that the history does not cover: seconds until it is known.

Only the modules of the watchers are loaded: their packages, and their imports from JupyterHub and Airflow, are empty
stand-ins. Its bias: the objects are larger than those of small programs, and a quiet cluster has no events.

    python -m benchmarks.ports [kubespawner] [dask-gateway] [airflow]
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import json
import logging
import resource
import subprocess
import sys
import threading
import time
import tokenize
import types
import zipfile
from pathlib import Path
from typing import Any, Final

from benchmarks.generator import pod
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer._tasks import BackgroundTask
from kinformer.testing import ApiServer

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = Path.home() / ".cache" / "kinformer" / "ports"
PODS: Final = 1000
RATE: Final = 100
NAMESPACE: Final = "default"
LABELS: Final = {"airflow-worker": "7"}

ORIGINALS: Final = {
    "kubespawner": ("jupyterhub-kubespawner==7.1.0", "kubespawner/reflector.py"),
    "dask-gateway": ("dask-gateway-server==2026.3.0", "dask_gateway_server/backends/kubernetes/utils.py"),
    "airflow": (
        "apache-airflow-providers-cncf-kubernetes==10.25.0",
        "airflow/providers/cncf/kubernetes/executors/kubernetes_executor_utils.py",
    ),
}
PORTS: Final = {
    "kubespawner": "kubespawner_reflector",
    "dask-gateway": "dask_gateway_informer",
    "airflow": "airflow_pod_watcher",
}


def source_of(name: str) -> Path:
    """The unpacked wheel of an original; downloaded once."""
    requirement = ORIGINALS[name][0]
    folder = SOURCES / requirement
    if not folder.exists():
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(SOURCES),
            requirement,
        ]
        subprocess.run(download, check=True)
        stem = requirement.partition("==")[0].replace("-", "_")
        (wheel,) = SOURCES.glob(f"{stem}-*.whl")
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def stand_in(name: str, **content: Any) -> None:
    """Register a module that has only this content."""
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(content)
    sys.modules[name] = module


def package(name: str, path: Path) -> None:
    """Register a package whose `__init__` is not run."""
    stand_in(name)
    sys.modules[name].__path__ = [str(path)]


def code_lines(text: str) -> int:
    """Lines that hold code: no blank lines, comments and docstrings."""
    lines: set[int] = set()
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    begins = True
    for token in tokens:
        docstring = token.type == tokenize.STRING and begins
        if token.type not in layout and not docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            begins = token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    return len(lines)


class Following:
    """A watcher at work, as the measurement sees it."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.updates = 0

    def has(self, name: str) -> bool:
        """Return whether the pod exists, as far as the program knows."""
        return name not in self.gone


async def kubespawner_original(url: str, following: Following) -> None:
    from kubernetes_asyncio.client import Configuration

    Configuration.set_default(Configuration(host=url))
    package("kubespawner", source_of("kubespawner") / "kubespawner")
    module = importlib.import_module("kubespawner.reflector")
    reflector = module.NamespacedResourceReflector(kind="pods", namespace=NAMESPACE, labels=LABELS)
    await reflector.start()
    following.has = lambda name: f"{NAMESPACE}/{name}" in reflector.resources  # type: ignore[method-assign]


async def kubespawner_port(url: str, following: Following) -> None:
    from examples.ports.kubespawner_reflector import ResourceReflector
    from kinformer import Client, ClusterConfig

    client = await Client(ClusterConfig.for_server(url)).__aenter__()
    reflector = ResourceReflector(client, "pods", namespace=NAMESPACE, labels=LABELS)
    await reflector.start()
    following.has = lambda name: f"{NAMESPACE}/{name}" in reflector.resources  # type: ignore[method-assign]


def counted(following: Following) -> dict[str, Any]:
    """Functions of an informer that read the phase and count."""

    def on_update(obj: Any, old: Any = None) -> None:  # noqa: ARG001 - the originals pass it
        following.updates += obj["status"]["phase"] != ""

    def on_delete(obj: Any) -> None:
        following.gone.add(obj["metadata"]["name"])

    return {"on_update": on_update, "on_delete": on_delete}


async def dask_original(url: str, following: Following) -> None:
    from kubernetes_asyncio import client as kubernetes

    root = source_of("dask-gateway") / "dask_gateway_server"
    for name, path in (("", ""), (".backends", "backends"), (".backends.kubernetes", "backends/kubernetes")):
        package(f"dask_gateway_server{name}", root / path)
    stand_in("dask_gateway_server.utils", cancel_task=None)
    module = importlib.import_module("dask_gateway_server.backends.kubernetes.utils")
    api = kubernetes.CoreV1Api(kubernetes.ApiClient(kubernetes.Configuration(host=url)))
    informer = module.Informer(
        parent=None,
        name="pods",
        client=api,
        method="list_pod_for_all_namespaces",
        method_kwargs={"label_selector": "airflow-worker=7"},
        **counted(following),
    )
    following.informer = informer  # type: ignore[attr-defined]
    await informer.start()


async def dask_port(url: str, following: Following) -> None:
    from examples.ports.dask_gateway_informer import Informer
    from kinformer import Client, ClusterConfig

    client = await Client(ClusterConfig.for_server(url)).__aenter__()
    await Informer(client, "pods", labels=LABELS, **counted(following)).start()


async def airflow_original(url: str, following: Following) -> None:
    import queue

    import kubernetes

    base = "airflow.providers.cncf.kubernetes"
    folder = source_of("airflow") / "airflow/providers/cncf/kubernetes"
    mixin = type("LoggingMixin", (), {"log": logging.getLogger("watcher")})

    def nothing(*_arguments: Any, **_more: Any) -> Any:
        return None

    empty = type("Nothing", (), {})
    for name in ("airflow", "airflow.executors", "airflow.providers", "airflow.providers.cncf", base, "airflow.utils",
                 "airflow.utils.log", "airflow.providers.common", "airflow.providers.common.compat"):  # fmt: skip
        stand_in(name)
    package(f"{base}.executors", folder / "executors")
    stand_in("airflow.executors.base_executor", BaseExecutor=empty)
    stand_in(f"{base}.backcompat", get_logical_date_key=lambda: "logical_date")
    stand_in(
        f"{base}.executors.kubernetes_executor_types",
        ADOPTED="adopted",
        ALL_NAMESPACES="ALL_NAMESPACES",
        POD_EXECUTOR_DONE_KEY="airflow_executor_done",
        POD_REVOKED_KEY="airflow_pod_revoked",
        TASK_INSTANCE_ID_ANNOTATION="id",
        TASK_INSTANCE_ID_LABEL="id",
        FailureDetails=empty,
        KubernetesJob=empty,
        KubernetesResults=empty,
        KubernetesWatch=lambda name, *rest: (name, *rest),
        task_instance_id_from_pod=nothing,
    )
    api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(kubernetes.client.Configuration(host=url)))
    stand_in(
        f"{base}.kube_client",
        _get_executor_async_kube_client=nothing,
        _get_executor_kube_client=lambda **_more: api,
    )
    stand_in(
        f"{base}.kubernetes_helper_functions",
        annotations_for_logging_task_metadata=str,
        annotations_to_key=nothing,
        create_unique_id=nothing,
    )
    stand_in(f"{base}.pod_generator", PodGenerator=empty, workload_to_command_args=nothing)
    stand_in("airflow.providers.common.compat.sdk", AirflowException=Exception, Stats=empty)
    stand_in("airflow.utils.helpers", prune_dict=nothing)
    stand_in("airflow.utils.log.logging_mixin", LoggingMixin=mixin)
    stand_in("airflow.utils.state", TaskInstanceState=type("State", (), {"FAILED": "failed"}))
    module = importlib.import_module(f"{base}.executors.kubernetes_executor_utils")
    outcomes: queue.Queue[Any] = queue.Queue()
    config = types.SimpleNamespace(kube_client_request_args={}, worker_pod_pending_fatal_container_state_reasons=())

    pause = threading.Event()

    def watch() -> None:
        # The executor starts another watcher when one has ended, at its next heartbeat: 5 seconds.
        while True:
            watcher = module.KubernetesJobWatcher(NAMESPACE, outcomes, "0", "7", config)
            with contextlib.suppress(Exception):
                watcher.run()
            pause.wait(5)

    threading.Thread(target=watch, daemon=True).start()
    following.has = lambda name: all(each[0] != name for each in list(outcomes.queue))  # type: ignore[method-assign]
    await asyncio.sleep(5)


async def airflow_port(url: str, following: Following) -> None:
    from examples.ports.airflow_pod_watcher import Outcome, watch_pods
    from kinformer import Client, ClusterConfig

    def report(outcome: Outcome) -> None:
        following.gone.add(outcome.pod.name)

    client = await Client(ClusterConfig.for_server(url)).__aenter__()
    watching = watch_pods(client, NAMESPACE, scheduler_job_id="7", report=report)
    following.task = BackgroundTask("watcher")  # type: ignore[attr-defined]
    following.task.start(watching)  # type: ignore[attr-defined]
    await asyncio.sleep(5)


RUN: Final = {
    ("kubespawner", "original"): kubespawner_original,
    ("kubespawner", "port"): kubespawner_port,
    ("dask-gateway", "original"): dask_original,
    ("dask-gateway", "port"): dask_port,
    ("airflow", "original"): airflow_original,
    ("airflow", "port"): airflow_port,
}


async def follow(name: str, kind: str, url: str) -> None:
    """The measured program: answers each line of its input with its figures."""
    logging.basicConfig(level=logging.CRITICAL)
    following = Following()
    await RUN[name, kind](url, following)
    print("ready", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        used = resource.getrusage(resource.RUSAGE_SELF)
        status = await asyncio.to_thread(Path("/proc/self/status").read_text)
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        figures = {"cpu": used.ru_utime + used.ru_stime, "rss": kilobytes / 1024, "has": following.has(line)}
        print(json.dumps(figures), flush=True)


def prepared(number: int, updates: int = 0) -> dict[str, Any]:
    """A recorded pod as the server is to hold it, changed by each update."""
    found: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **json.loads(pod(number, 1))}
    metadata = found["metadata"]
    for key in ("uid", "resourceVersion", "creationTimestamp", "ownerReferences", "deletionTimestamp"):
        metadata.pop(key, None)
    metadata |= {"name": f"pod-{number}", "namespace": NAMESPACE, "labels": {**metadata.get("labels", {}), **LABELS}}
    notes = {"dag_id": "d", "task_id": "t", "try_number": "1", "updates": str(updates)}
    metadata["annotations"] = {**metadata.get("annotations", {}), **notes}
    return found


class Child:
    """A measured program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    async def figures(self, name: str = "pod-0") -> dict[str, Any]:
        """Its CPU time and memory, and whether it takes the pod for there."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n".encode())
        answer: dict[str, Any] = json.loads(await self.line())
        return answer


async def measured(name: str, kind: str) -> dict[str, float | None]:
    """All figures of one program."""
    seconds = 4 if is_quick() else 10
    quiet = 12 if is_quick() else 40
    async with ApiServer() as server:
        for number in range(PODS):
            server.create(prepared(number))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.ports", "follow", name, kind, server.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        child = Child(process)
        try:
            if await child.line() != "ready":
                raise RuntimeError(f"{name}, {kind}: the program did not start")
            await asyncio.sleep(2)
            before = await child.figures()
            begun = time.perf_counter()
            for update in range(seconds * RATE):
                server.update(prepared(update % PODS, update + 1))
                await asyncio.sleep(max(0.0, begun + (update + 1) / RATE - time.perf_counter()))
            await asyncio.sleep(1)
            after = await child.figures()
            count = len(server.requests)
            await asyncio.sleep(quiet)
            at_rest, requests = await child.figures(), len(server.requests) - count
            # An outage; a pod is deleted in it, and the history is gone afterwards.
            count = len(server.requests)
            server.faults.fail_next(10**9, status=500)
            server.faults.drop_watches()
            await asyncio.sleep(5)
            server.delete("v1", "Pod", "pod-7", NAMESPACE)
            server.faults.expire()
            await asyncio.sleep(5)
            in_outage = len(server.requests) - count
            server.faults.clear()
            back = time.perf_counter()
            known: float | None = None
            while known is None and time.perf_counter() - back < 30:
                if not (await child.figures("pod-7"))["has"]:
                    known = time.perf_counter() - back
                await asyncio.sleep(0.1)
        finally:
            process.kill()
            await process.wait()
    return {
        "cpu": (after["cpu"] - before["cpu"]) / (seconds * RATE) * 1e6,
        "quiet cpu": (at_rest["cpu"] - after["cpu"]) / quiet * 1e3,
        "rss": at_rest["rss"],
        "requests": requests / quiet * 60,
        "outage": in_outage,
        "known": known,
    }


def main(names: list[str]) -> list[Row]:
    """Rows by project, the original beside the port."""
    rows: list[Row] = []
    for place, name in enumerate(names):
        step(place, len(names), name)
        found: dict[str, dict[str, float | None]] = {}
        for kind in ("original", "port"):
            found[kind] = asyncio.run(measured(name, kind))
            print(name, kind, found[kind], file=sys.stderr)
        for key, what, unit in (
            ("cpu", "CPU time per update", "µs"),
            ("quiet cpu", "CPU time per quiet second", "ms"),
            ("rss", "memory", "MiB"),
            ("requests", "requests in a quiet minute", ""),
            ("outage", "requests in 10 s of errors", ""),
            ("known", "a missed deletion is known after", "s"),
        ):
            both = [f"{found[kind][key]:.1f} {unit}".strip() if found[kind][key] is not None else "never (30 s)"
                    for kind in ("original", "port")]  # fmt: skip
            rows.append(Row(f"{name}: {what}", " → ".join(both), series=name))
        original = (source_of(name) / ORIGINALS[name][1]).read_text()
        port = (ROOT / "examples" / "ports" / f"{PORTS[name]}.py").read_text()
        rows.append(
            Row(f"{name}: lines of code of the module", f"{code_lines(original)} → {code_lines(port)}", series=name)
        )
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["follow"]:
        asyncio.run(follow(*sys.argv[2:5]))
    else:
        print(plain(main(sys.argv[1:] or list(ORIGINALS))))
