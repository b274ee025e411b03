"""Fabric8's client: built here when a JDK and Maven are on the machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.peers.building import MissingError, digest, last_line
from benchmarks.results import cache_folder

__all__ = ["MODULE", "command", "version"]

MODULE: Final = Path(__file__).parent / "fabric8"
_SOURCE: Final = MODULE / "src" / "main" / "java" / "dev" / "kinformer" / "Informer.java"
_PATIENCE: Final = 400.0  # seconds, for each step


def version() -> str:
    """Of Fabric8's client, out of pom.xml."""
    found = re.search(r"kubernetes-client-bom</artifactId>\s*<version>([^<]+)", (MODULE / "pom.xml").read_text())
    return found[1] if found else "?"


def command() -> list[str]:
    """Return the command line of the program; it is built when its sources have changed.

    Raises:
        MissingError: a tool is missing, or its packages cannot be had.
    """
    tools = {name: shutil.which(name) for name in ("java", "javac", "mvn")}
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        raise MissingError(f"{', '.join(missing)} is not installed")
    folder = cache_folder() / f"fabric8-{digest((MODULE / 'pom.xml').read_bytes(), _SOURCE.read_bytes())}"
    if not (folder / "classes").exists():
        for old in cache_folder().glob("fabric8-*"):
            shutil.rmtree(old, ignore_errors=True)
        packages = f"-DoutputDirectory={folder / 'lib'}"
        _run([str(tools["mvn"]), "-q", "-B", "-f", str(MODULE / "pom.xml"), "dependency:copy-dependencies", packages])
        partial = folder / "partial"
        compiled = ["-d", str(partial), "-cp", f"{folder / 'lib'}/*", "--release", "17", str(_SOURCE)]
        _run([str(tools["javac"]), *compiled])
        partial.rename(folder / "classes")
    path = f"{folder / 'classes'}:{folder / 'lib'}/*"
    return [str(tools["java"]), "-cp", path, "dev.kinformer.Informer"]


def _run(run: list[str]) -> None:
    try:
        done = subprocess.run(run, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise MissingError(f"{Path(run[0]).name} was not done within {_PATIENCE:.0f} s") from None
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line or "error:" in line]
        raise MissingError(f"{Path(run[0]).name} failed: {(errors or [last_line(done.stderr)])[0][:200]}")
