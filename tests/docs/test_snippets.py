"""Every Python snippet of the README and the docs runs, each in a process of its own, against the embedded server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinformer.testing import ApiServer
from tests.test_public_api import CRD, POD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [
    pytest.param(found[1], id=f"{page.relative_to(ROOT)}:{page.read_text()[: found.start()].count(chr(10)) + 1}")
    for page in PAGES
    for found in re.finditer(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
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


@pytest.mark.parametrize("code", SNIPPETS)
async def test_the_snippet_runs(code: str, kubeconfig: Path, tmp_path: Path) -> None:
    program = tmp_path / "snippet.py"
    program.write_text(code)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(program)),
        cwd=tmp_path,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def test_there_are_snippets_to_run() -> None:
    assert len(SNIPPETS) >= 6
