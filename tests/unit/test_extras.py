"""A module whose package is not installed names the extra that installs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kinformer._extras import from_extra
from kinformer.errors import MissingDependencyError

# Module, the package that is not there, and the extra that the message names.
MISSING = [
    ("kinformer.integrations.fastapi", "fastapi", "fastapi"),
    ("kinformer.integrations.fastapi", "starlette", "fastapi"),
    ("kinformer.integrations.starlette", "starlette", "starlette"),
    ("kinformer.integrations.ui", "starlette", "ui"),
    ("kinformer.integrations.ui.dashboard", "starlette", "ui"),
    ("kinformer.integrations.prometheus", "prometheus_client", "prometheus"),
    ("kinformer.integrations.opentelemetry", "opentelemetry", "opentelemetry"),
]


@pytest.mark.parametrize(("module", "package", "extra"), MISSING)
def test_an_integration_names_its_extra(module: str, package: str, extra: str) -> None:
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"import {module}\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("kinformer.errors.MissingDependencyError: kinformer.integrations."), last
    assert last.endswith(f"needs {package}, which is not installed; pip install 'kinformer[{extra}]'")


def test_a_defect_of_our_own_is_not_taken_for_a_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError) as caught, from_extra("ui", "a module"):
        import kinformer.no_such_module  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(caught.value, MissingDependencyError)
