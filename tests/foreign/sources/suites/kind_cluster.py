"""A pytest plugin: the fixtures of pytest-kind for a cluster that runs already."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path

import pytest


class Cluster:
    """The part of pytest_kind.KindCluster that suites use."""

    name = "pytest-kind"
    kubectl_path = "kubectl"
    kubeconfig_path = Path(os.environ["KUBECONFIG"])

    def kubectl(self, *arguments: str, **options: object) -> str:
        """Run kubectl; return its output."""
        done = subprocess.run([self.kubectl_path, *arguments], check=True, stdout=subprocess.PIPE, encoding="utf8")
        return done.stdout


@pytest.fixture(scope="session", autouse=True)
def k8s_cluster() -> Cluster:
    """The cluster."""
    return Cluster()


@pytest.fixture
def ensure_gc() -> object:
    """Collect garbage before and after a test."""
    gc.collect()
    yield
    gc.collect()
