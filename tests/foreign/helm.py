"""Helm with a small chart: install, upgrade, roll back, uninstall."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.peers.building import MissingError, last_line
from tests.foreign.answers import Commands
from tests.foreign.programs import folder

VERSION: Final = "v3.18.4"
_CHARTS: Final = Path(__file__).parent / "sources"
_LONGEST: Final = 900.0  # seconds: the first build compiles all of helm
_INSTALL: Final = "install web chart --namespace shops --create-namespace"

STEPS: Final = (
    "list --all-namespaces",
    _INSTALL + " --dry-run=server",
    _INSTALL,
    _INSTALL,
    "list --namespace shops",
    "status web --namespace shops",
    "get manifest web --namespace shops",
    "get values web --namespace shops --all",
    "upgrade web chart --namespace shops --set message=two,replicas=3",
    "upgrade web chart --namespace shops --set replicas=many",
    "upgrade web chart --namespace shops --set port=0",
    "history web --namespace shops",
    "rollback web 1 --namespace shops",
    "history web --namespace shops --max 2",
    "upgrade nosuch chart --namespace shops",
    "upgrade other chart --install --namespace shops",
    "get notes web --namespace shops",
    "uninstall web --namespace shops --keep-history",
    "status web --namespace shops",
    "uninstall other --namespace shops",
    "uninstall other --namespace shops",
    "install web chart --namespace nosuch",
)
"""Compared with the answers of a real server, on which no controller runs."""

ON_A_CLUSTER: Final = (
    _INSTALL + " --wait --timeout 40s",
    "test web --namespace shops --timeout 40s",
    "upgrade web chart --namespace shops --set image=shop:2 --wait --timeout 40s --atomic",
    "rollback web 1 --namespace shops --wait --timeout 40s",
    "uninstall web --namespace shops --wait --timeout 40s",
)
"""Each must succeed where the pods of a Deployment run."""


def built() -> Path:
    """The program; built once.

    Raises:
        MissingError: it is not here, and cannot be built.
    """
    program = folder() / f"helm-{VERSION}"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise MissingError("Go is not installed")
    partial = folder() / "helm.partial"
    environment = os.environ | {"GOBIN": str(partial), "CGO_ENABLED": "0"}
    run = [go, "install", "-trimpath", f"helm.sh/helm/v3/cmd/helm@{VERSION}"]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False)
    if done.returncode:
        raise MissingError(f"go install failed: {last_line(done.stderr)}")
    (partial / "helm").replace(program)
    shutil.rmtree(partial)
    return program


def compared() -> Commands:
    """The commands that are compared with a real server."""
    return Commands("helm", str(built()), tuple((step, "") for step in STEPS), str(_CHARTS))


def on_a_cluster() -> Commands:
    """The commands that need pods that run."""
    return Commands("helm-wait", str(built()), tuple((step, "") for step in ON_A_CLUSTER), str(_CHARTS))
