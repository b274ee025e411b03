"""controller-runtime's own tests, from its Go module: they take a running server in the place of envtest's."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.peers.building import MissingError, last_line
from kinformer.testing import ApiServer
from tests.foreign.programs import folder

__all__ = ["run"]

_MODULE: Final = "sigs.k8s.io/controller-runtime"
_VERSION: Final = "v0.24.1"
_PACKAGES: Final = ("client", "controller")
_LONGEST: Final = 900.0  # seconds


def run(*, verbose: bool) -> dict[str, int]:
    """Run the tests of some packages, each against a server of its own; return the number of those that pass.

    Raises:
        MissingError: there is no Go, or the module cannot be had.
    """
    passed = 0
    for package, program in _built().items():
        output = asyncio.run(_output(package, program))
        found = re.search(r"(\d+) Passed", output)
        if found is None:
            raise MissingError(f"the tests of {package} did not run: {last_line(output)}")
        passed += int(found[1])
        if verbose:
            print("\n".join(line.strip() for line in output.splitlines() if "[FAIL]" in line))
    return {"passed": passed}


def _built() -> dict[str, Path]:
    """The programs of the tests by package; built once."""
    place = folder() / f"controller-runtime-{_VERSION}"
    programs = {package: place / f"{package}.test" for package in _PACKAGES}
    if all(program.exists() for program in programs.values()):
        return programs
    go = shutil.which("go")
    if go is None:
        raise MissingError("go is not installed")
    place.mkdir(exist_ok=True)
    (place / "go.mod").write_text("module kinformer.test/controller-runtime\n\ngo 1.26.0\n")
    _ran([go, "mod", "download", f"{_MODULE}@{_VERSION}"], place)
    cache = _ran([go, "env", "GOMODCACHE"], place).strip()
    source = place / "source"
    shutil.rmtree(source, ignore_errors=True)
    # A copy, since the cache of modules is read-only; its mode is left behind.
    shutil.copytree(Path(cache) / f"{_MODULE}@{_VERSION}", source, copy_function=shutil.copyfile)
    for one in (source, *source.rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
    for package, program in programs.items():
        _ran([go, "test", "-c", "-vet=off", "-buildvcs=false", "-o", str(program), f"./pkg/{package}"], source)
    return programs


def _ran(command: list[str], place: Path) -> str:
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        raise MissingError(f"{command[1]} was not done within {_LONGEST:.0f} s") from None
    if done.returncode:
        raise MissingError(f"the build failed: {last_line(done.stderr)}")
    return done.stdout


async def _output(package: str, program: Path) -> str:
    async with ApiServer(system_objects=True) as server:
        with tempfile.TemporaryDirectory() as home:
            server.write_kubeconfig(Path(home) / "config")
            environment = {"KUBECONFIG": str(Path(home) / "config"), "USE_EXISTING_CLUSTER": "true"}
            process = await asyncio.create_subprocess_exec(
                *(str(program), "-ginkgo.no-color"),
                cwd=program.parent / "source" / "pkg" / package,
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await asyncio.wait_for(process.communicate(), _LONGEST)
            return output.decode(errors="replace")
