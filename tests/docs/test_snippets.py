"""Every Python snippet of the README and the docs runs, each in a process of its own, against the embedded server.

The processes are forks of one that has imported what most snippets import (`tests.forked_programs`).

Snippets with a title are files. Those of one page make a directory, in which its tests pass and its programs run.
Snippets that start a real server run in `make test-real`.

With KINFORMER_SNIPPET_PYTHON that interpreter starts them, with what is installed there: `make wheel-test` names one in
an environment of its own, that has the built wheel.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from kinformer.testing import ApiServer
from tests.forked_programs import CAN_FORK, Ended, ForkedPrograms
from tests.paths import ROOT
from tests.test_public_api import CRD, POD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

INSTALLED = os.environ.get("KINFORMER_SNIPPET_PYTHON")
PYTHON = INSTALLED or sys.executable
PATH = [] if INSTALLED else [str(ROOT)]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REAL = pytest.mark.real
SNIPPETS = [
    pytest.param(
        found[1],
        found[2],
        marks=REAL if "ControlPlane(" in found[1] else (),
        id=f"{page.relative_to(ROOT)}:{page.read_text()[: found.start()].count(chr(10)) + 1}",
    )
    for page in PAGES
    for found in re.finditer(
        r"^```python\n(.*?)^```(?:\n\nIt prints:\n\n```text\n(.*?)^```)?", page.read_text(), re.MULTILINE | re.DOTALL
    )
]

_FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
DIRECTORIES = [
    pytest.param(dict(_FILE.findall(page.read_text())), id=str(page.relative_to(ROOT)))
    for page in PAGES
    if _FILE.search(page.read_text())
]


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    async with ApiServer() as server:
        server.create(CRD)
        server.create(POD)
        widget = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"size": 1}}
        server.create({"apiVersion": "example.com/v1", "kind": "Widget", **widget})
        path = tmp_path / "kubeconfig"
        server.write_kubeconfig(path)
        yield path


@pytest.fixture(scope="session")
def forked() -> Iterator[ForkedPrograms]:
    ours = ("client", "config._yaml", "controller", "custom_resources.definition", "filters", "informer.factory",
            "integrations.fastapi", "testing")  # fmt: skip
    others = ("anyio._backends._asyncio", "concurrent.futures.thread", "fastapi.testclient", "prometheus_client",
              "pydantic.v1", "starlette.applications", "uvicorn", "yaml")  # fmt: skip
    imports = (*(f"kinformer.{name}" for name in ours), *others)
    with ForkedPrograms(*imports, warnings="error") as programs:
        yield programs


async def ended(forked: ForkedPrograms, *arguments: str, cwd: Path, **more: str) -> Ended:
    """Run a program of Python to its end, in a fork where this system has them."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(PATH)} | more
    if CAN_FORK and INSTALLED is None:
        return await asyncio.to_thread(forked.run, arguments, cwd=cwd, env=env, timeout=100)
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-W", "error", *arguments),
        cwd=cwd,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(("code", "printed"), SNIPPETS)
async def test_the_snippet_runs(
    code: str, printed: str | None, kubeconfig: Path, tmp_path: Path, forked: ForkedPrograms
) -> None:
    program = tmp_path / "snippet.py"
    program.write_text(code)
    snippet = await ended(forked, str(program), cwd=tmp_path, KUBECONFIG=str(kubeconfig))
    assert snippet.code == 0, snippet.out + snippet.err
    if printed is not None:
        # Events of different objects have no order.
        assert sorted(snippet.out.splitlines()) == sorted(printed.splitlines())


def programs_in(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*.py") if "__main__" in path.read_text()]


@pytest.fixture(params=DIRECTORIES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files: dict[str, str] = request.param
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


async def test_the_tests_of_a_page_pass(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*PATH, str(directory)])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_the_programs_of_a_page_run_until_they_are_told_to_end(directory: Path, tmp_path: Path) -> None:
    programs = programs_in(directory)
    assert programs
    for program in programs:
        async with ApiServer() as server:
            for manifest in yaml.safe_load_all((directory / "crd.yaml").read_text()):
                server.create(manifest)
            server.write_kubeconfig(tmp_path / "kubeconfig")
            process = await asyncio.create_subprocess_exec(
                *(PYTHON, "-W", "error", str(program)),
                env={
                    **os.environ,
                    "KUBECONFIG": str(tmp_path / "kubeconfig"),
                    "PYTHONPATH": os.pathsep.join(PATH),
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(60):
                while not server.list("coordination.k8s.io/v1", "Lease"):
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
                process.send_signal(signal.SIGTERM)
                output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            (lease,) = server.list("coordination.k8s.io/v1", "Lease")
            assert lease["spec"]["holderIdentity"] == ""


def test_code_fits_into_80_columns() -> None:
    """Longer lines are cut off on the site and on GitHub. Output of programs (text, console) keeps its width."""
    wide = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in PAGES
        for language, code in re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for line in code.splitlines()
        if len(line) > 80 and language != "text" and (language != "console" or line.startswith(("$ ", "    ")))
    ]
    assert wide == []


def test_there_are_snippets_to_run() -> None:
    assert len(SNIPPETS) >= 6
