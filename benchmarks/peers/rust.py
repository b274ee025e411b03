"""kube-rs: built here when Cargo is on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.peers.building import MissingError, digest, last_line
from benchmarks.results import cache_folder

__all__ = ["MODULE", "built", "version"]

MODULE: Final = Path(__file__).parent / "kube_rs"
_PATIENCE: Final = 600.0  # seconds: the first build compiles kube-rs and all types of Kubernetes


def version() -> str:
    """Of kube-rs, out of Cargo.toml."""
    for line in (MODULE / "Cargo.toml").read_text().splitlines():
        if line.startswith("kube = "):
            return line.split('version = "')[1].split('"')[0].removeprefix("=")
    return "?"


def built() -> Path:
    """The program; built when its sources have changed since it was.

    Raises:
        MissingError: there is no Cargo, or it cannot build it.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise MissingError("Cargo is not installed")
    sources = [MODULE / "src" / "main.rs", MODULE / "Cargo.toml", MODULE / "Cargo.lock"]
    program = cache_folder() / f"kube_rs-{digest(*(source.read_bytes() for source in sources))}"
    if program.exists():
        return program
    target = cache_folder() / "kube_rs-target"
    run = [cargo, "build", "--release", "--locked", "--quiet", "--manifest-path", str(MODULE / "Cargo.toml")]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    try:
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise MissingError(f"cargo build was not done within {_PATIENCE:.0f} s") from None
    if done.returncode:
        raise MissingError(f"cargo build failed: {last_line(done.stderr)}")
    for old in cache_folder().glob("kube_rs-*"):
        if old.is_file():
            old.unlink()
    partial = program.with_suffix(".partial")
    shutil.copy2(target / "release" / "kube_rs", partial)
    partial.replace(program)
    shutil.rmtree(target, ignore_errors=True)  # half a gigabyte, of which nothing is needed any more
    return program
