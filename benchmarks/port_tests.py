"""Run Airflow's own tests of its pod watcher on the port: `python -m benchmarks.port_tests`.

The tests are those of `TestKubernetesJobWatcher` about the state of a pod, from the source distribution of the
provider, which is downloaded. The rest of Airflow is not needed: the few names that the tests use are stand-ins here.
The tests of the class about the loop of its watch and about Airflow's configuration are left out, because the port has
neither.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from benchmarks.ports import ORIGINALS, SOURCES

FILE = "tests/unit/cncf/kubernetes/executors/test_kubernetes_executor.py"
CLASS = "TestKubernetesJobWatcher"

PRELUDE = """
from __future__ import annotations

import datetime
import enum
import sys
import types
from typing import NamedTuple
from unittest import mock

import pytest
from kubernetes_asyncio.client import ApiClient, models as k8s

from examples.ports.airflow_pod_watcher import ADOPTED, outcome_of
from kinformer import Added, Deleted, KubeObject, Updated
from kinformer.resources import PODS

LOGICAL_DATE_KEY = "logical_date"
timezone = types.SimpleNamespace(utcnow=lambda: datetime.datetime.now(datetime.UTC))


class TaskInstanceState(str, enum.Enum):
    SUCCESS = "success"
    FAILED = "failed"
    RUNNING = "running"
    QUEUED = "queued"
    UP_FOR_RETRY = "up_for_retry"


State = TaskInstanceState


def sanitize(client, obj):
    return client.sanitize_for_serialization(client.__new__(client), obj)


class KubernetesWatch(NamedTuple):
    pod_name: str
    namespace: str
    state: object
    annotations: object
    resource_version: str
    failure_details: object


class KubernetesJobWatcher:
    def __init__(self, *, namespace, watcher_queue, resource_version, scheduler_job_id, kube_config):
        self.namespace, self.watcher_queue, self.kube_config = namespace, watcher_queue, kube_config
        self.resource_version, self.scheduler_job_id = resource_version, scheduler_job_id

    def _pod_events(self, **settings):
        raise NotImplementedError  # the tests replace it

    def _run(self, kube_client, resource_version, scheduler_job_id, kube_config):
        settings = {
            "label_selector": f"airflow-worker={scheduler_job_id},airflow_executor_done!=True",
            "resource_version": resource_version,
            "_request_timeout": 30,
            "timeout_seconds": 3600,
        }
        for change in self._pod_events(kube_client=kube_client, query_kwargs=settings):
            manifest = sanitize(ApiClient, change["object"])
            manifest["status"] |= change.get("raw_object", {}).get("status", {})
            pod = KubeObject.from_dict({"apiVersion": "v1", "kind": "Pod"} | manifest, PODS)
            event = {"ADDED": Added(pod), "MODIFIED": Updated(pod, pod), "DELETED": Deleted(pod)}[change["type"]]
            found = outcome_of(event, kube_config.worker_pod_pending_fatal_container_state_reasons)
            if found is not None:
                annotations = {LOGICAL_DATE_KEY: None, **found.annotations}
                del annotations["airflow-worker"]
                pod_name, details = found.pod.name, found.details
                self.watcher_queue.put(
                    KubernetesWatch(pod_name, self.namespace, found.state, annotations, found.resource_version, details)
                )
            resource_version = pod.resource_version
        return resource_version


path = "airflow"
sys.modules[path] = module = types.ModuleType(path)
for name in ("providers", "cncf", "kubernetes", "executors", "kubernetes_executor_utils"):
    path = f"{path}.{name}"
    sys.modules[path] = child = types.ModuleType(path)
    setattr(module, name, child)
    module = child
module.watch = None
"""


def own_tests() -> str:
    """The class of tests, without those that the port cannot have."""
    requirement = ORIGINALS["airflow"][0]
    folder = SOURCES / f"{requirement}-sdist"
    if not folder.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*download, "--dest", str(folder), requirement], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        member = opened.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{FILE}")
        assert member is not None
        text = member.read().decode()
    (tests,) = (one for one in ast.parse(text).body if isinstance(one, ast.ClassDef) and one.name == CLASS)
    tests.body = [
        one
        for one in tests.body
        if not isinstance(one, ast.FunctionDef)
        or not one.name.startswith("test_")
        or one.name.startswith("test_process_status")
    ]
    return ast.unparse(tests)


def main() -> int:
    """Run the tests; return the exit code of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "test_pod_watcher.py")
        path.write_text(f"{PRELUDE}\n\n{own_tests()}\n")
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--rootdir", folder]
        return subprocess.run([*command, str(path)], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
