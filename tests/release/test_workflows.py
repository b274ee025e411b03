"""The workflow files name commands and Pythons that exist, and ask for no more rights than they use."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from release.matrix import PYTHONS
from tests.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return workflow


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_make_target_and_module_that_a_workflow_runs_exists(path: Any) -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = path.read_text()
    for target in re.findall(r"run: make ([\w-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m (release[\w.]*)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or (ROOT / module / "__main__.py").exists(), module


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_default_rights_are_to_read(path: Any) -> None:
    assert read(path.name)["permissions"] == {"contents": "read"}


def test_nothing_is_published_until_a_maintainer_switches_it_on() -> None:
    jobs = read("release.yml")["jobs"]
    assert "if" not in jobs["build"]
    assert "permissions" not in jobs["build"], "the job that runs foreign build code has no right to publish"
    for name in ("publish", "manual"):
        assert jobs[name]["if"] == "vars.RELEASE_ENABLED == 'true'"
    assert jobs["publish"]["permissions"]["id-token"] == "write"
    assert "password" not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


def test_the_pythons_of_the_matrix_are_those_of_the_classifiers() -> None:
    matrix = read("ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == [*PYTHONS]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {text.rsplit(" ", 1)[1] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)}
    assert named <= {version.rstrip("t") for version in PYTHONS}
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
