"""Programs in Go and Rust that check an API server: client-go, controller-runtime, kube-rs. Each is built once.

A program prints a line for each check: "ok NAME", or "FAIL NAME:  REASON".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.peers.building import MissingError, digest, last_line
from kinformer.testing import ApiServer, ControlPlane
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["GO", "RUST", "Program", "folder", "keep", "kept"]

_SOURCES: Final = Path(__file__).parent / "sources"
_LONGEST_BUILD: Final = 900.0  # seconds: the first build compiles all libraries
_LONGEST_RUN: Final = 300.0
_KEPT: Final = DATA / "programs-1.36.json"


def folder() -> Path:
    """The folder of built programs."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = base / "kinformer" / "foreign"
    found.mkdir(parents=True, exist_ok=True)
    return found


class Program(NamedTuple):
    """A program, and the way to build and run it.

    Attributes:
        name: that of its folder.
        compiler: the program that builds it.
        build: the arguments of the compiler.
        product: the file that it makes below the target folder.
        takes_url: it takes the URL of a server without credentials; otherwise KUBECONFIG names the server.
    """

    name: str
    compiler: str
    build: tuple[str, ...]
    product: str
    takes_url: bool = False

    def built(self) -> Path:
        """The program; built when its sources have changed.

        Raises:
            MissingError: there is no compiler, or it cannot build it: modules that cannot be had, say.
        """
        compiler = shutil.which(self.compiler)
        if compiler is None:
            raise MissingError(f"{self.compiler} is not installed")
        place = _SOURCES / self.name
        sources = sorted(one for one in place.rglob("*") if one.is_file())
        program = folder() / f"{self.name}-{digest(*(source.read_bytes() for source in sources))}"
        if program.exists():
            return program
        target = folder() / f"{self.name}-target"
        target.mkdir(exist_ok=True)
        environment = os.environ | {"CGO_ENABLED": "0", "CARGO_TARGET_DIR": str(target)}
        run = [compiler, *(argument.replace("TARGET", str(target)) for argument in self.build)]
        try:
            done = subprocess.run(
                run, cwd=place, env=environment, capture_output=True, text=True, timeout=_LONGEST_BUILD, check=False
            )
        except subprocess.TimeoutExpired:
            raise MissingError(f"the build was not done within {_LONGEST_BUILD:.0f} s") from None
        if done.returncode:
            raise MissingError(f"the build failed: {last_line(done.stderr)}")
        for old in folder().glob(f"{self.name}-*"):
            if old.is_file():
                old.unlink()
        shutil.copy2(target / self.product, program)
        shutil.rmtree(target)  # hundreds of megabytes, of which nothing is needed any more
        return program

    async def embedded(self) -> dict[str, str]:
        """Run the checks against an embedded server; return the reason by check, "" if it holds."""
        # No workload runs: the checks write the status of their objects.
        async with ApiServer(controllers=["serviceaccount", "root-ca", "disruption"]) as server:
            with tempfile.TemporaryDirectory() as home:
                server.write_kubeconfig(Path(home) / "config")
                return await self.run(Path(home) / "config", server.url)

    async def record(self) -> None:
        """Run the checks against a real server, and keep what holds there."""
        async with ControlPlane() as plane, _proxied(plane.kubeconfig_file) as url:
            keep(self.name, await self.run(plane.kubeconfig_file, url))

    def kept(self) -> dict[str, str]:
        """Return the reason by check on a real server, on which no controller runs."""
        return kept(self.name)

    async def run(self, kubeconfig: Path, *arguments: str, **environment: str) -> dict[str, str]:
        """Run the program; return the reason by check, "" if it holds.

        Args:
            kubeconfig: the file that leads to the server.
            arguments: its arguments; the first one is the URL of the server.
            environment: more variables.
        """
        process = await asyncio.create_subprocess_exec(
            *(str(self.built()), *(arguments if self.takes_url else arguments[1:])),
            env=os.environ | {"KUBECONFIG": str(kubeconfig)} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _LONGEST_RUN)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        lines = output.decode(errors="replace").splitlines()
        held = {line.removeprefix("ok "): "" for line in lines if line.startswith("ok ")}
        # A reason follows two blanks, as names have colons.
        failed = (line.removeprefix("FAIL ").partition(":  ") for line in lines if line.startswith("FAIL "))
        return held | {name: reason for name, _, reason in failed}


def kept(name: str) -> dict[str, str]:
    """Return the reason by check on a real server."""
    found: dict[str, str] = json.loads(_KEPT.read_text())[name]
    return found


def keep(name: str, found: dict[str, str]) -> None:
    """Keep the reason by check on a real server."""
    known = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
    _KEPT.write_text(json.dumps(known | {name: found}, indent=1) + "\n")


@contextlib.asynccontextmanager
async def _proxied(kubeconfig: Path) -> AsyncIterator[str]:
    """A URL of the server that needs neither TLS nor credentials."""
    process = await asyncio.create_subprocess_exec(
        *("kubectl", "proxy", "--port=0"),
        env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        found = re.search(rb"127\.0\.0\.1:\d+", await process.stdout.readline())
        assert found is not None
        yield f"http://{found[0].decode()}"
    finally:
        process.terminate()
        await process.wait()


GO: Final = Program(
    "go", "go", ("build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", "TARGET/program", "."), "program"
)
RUST: Final = Program("rust", "cargo", ("build", "--locked", "--quiet"), "debug/kinformer_foreign", takes_url=True)
