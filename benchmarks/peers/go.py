"""client-go: built here when Go is on the machine, and the recorded pods in protobuf, which its encoder makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks import generator
from benchmarks.peers.building import MissingError, digest, last_line
from benchmarks.results import cache_folder

__all__ = ["MODULE", "MissingError", "built", "encoded", "version"]

MODULE: Final = Path(__file__).parent / "client_go"
_PATIENCE: Final = 400.0  # seconds: the first build compiles all of client-go


def version() -> str:
    """Of client-go, out of go.mod."""
    for line in (MODULE / "go.mod").read_text().splitlines():
        if "k8s.io/client-go " in line:
            return line.split()[1].removeprefix("v")
    return "?"


def built() -> Path:
    """The program; built when its sources have changed since it was.

    Raises:
        MissingError: there is no Go, or it cannot build it: modules that cannot be had, say.
    """
    go = shutil.which("go")
    if go is None:
        raise MissingError("Go is not installed")
    sources = sorted([*MODULE.glob("*.go"), MODULE / "go.mod", MODULE / "go.sum"])
    found = subprocess.run([go, "version"], stdout=subprocess.PIPE, check=True).stdout
    program = cache_folder() / f"client_go-{digest(found, *(source.read_bytes() for source in sources))}"
    if program.exists():
        return program
    partial = program.with_suffix(".partial")
    # As go.sum has them, and nothing newer.
    run = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(partial), "."]
    environment = {**os.environ, "CGO_ENABLED": "0"}  # no C compiler is needed
    try:
        done = subprocess.run(
            run, cwd=MODULE, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"go build was not done within {_PATIENCE:.0f} s") from None
    if done.returncode:
        raise MissingError(f"go build failed: {last_line(done.stderr)}")
    for old in cache_folder().glob("client_go-*"):
        if old != partial:
            old.unlink()
    partial.replace(program)
    return program


def encoded(objects: int, events: int) -> Path:
    """So many generated pods and then so many updates, as protobuf messages with their lengths; made once.

    Raises:
        MissingError: as for `built`.
    """
    program = built()
    source = Path(generator.__file__).read_bytes()
    file = cache_folder() / f"pods-{objects}-{events}-{digest(source, program.name.encode())}.protobuf"
    if file.exists():
        return file
    for old in cache_folder().glob(f"pods-{objects}-{events}-*.protobuf"):
        old.unlink()
    partial = file.with_suffix(".partial")
    with partial.open("wb") as out:
        run = [str(program), "encode"]
        with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            assert encoder.stderr is not None
            try:
                for number in range(objects):
                    encoder.stdin.write(generator.pod(number) + b"\n")
                for place in range(events):
                    encoder.stdin.write(generator.event(place, objects)[1] + b"\n")
                encoder.stdin.close()
            except BrokenPipeError:
                pass
            said = encoder.stderr.read().decode().strip()
        if encoder.returncode:
            raise MissingError(f"the recorded pods could not be encoded: {said[:200]}")
    partial.replace(file)
    return file
