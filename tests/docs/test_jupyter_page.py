"""The cells of the page on notebooks run one after the other, and show what the page shows."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING, Any

from kinformer.testing import ApiServer, build
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = (ROOT / "docs" / "how-to" / "jupyter.md").read_text()
LINES = [
    line for block in re.findall(r"^```pycon\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


async def cell(code: str, names: dict[str, Any]) -> Any:
    """Run a line as IPython does, with top-level await."""
    try:
        compiled = compile(code, "cell", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        compiled = compile(code, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    answer = eval(compiled, names)
    return await answer if inspect.isawaitable(answer) else answer


async def test_the_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ApiServer() as server:
        server.create(build.pod("web-0"))
        server.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        names: dict[str, Any] = {}
        value: Any = None
        for line in LINES:
            if line.startswith(">>> "):
                value = await cell(line.removeprefix(">>> "), names)
            else:
                assert repr(value) == line
        assert names["factory"].stopped
