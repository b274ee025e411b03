"""`kinformer init` and `kinformer manifests`, as a new user types them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.conftest import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

TARGET = "my_operator.operator"


def in_folder(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # Without the packages' own path, as for a user; the folder of the project is the current one.
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, env=environment(), check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    made = in_folder(folder, "kinformer", "init", "my-operator")
    assert made.returncode == 0, made.stderr
    return folder / "my-operator"


def test_the_tests_of_a_new_project_pass_and_record_the_rights_that_it_has(project: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "rbac.yaml"
    options = (f"--kinformer-rbac={recorded}", "--kinformer-rbac-name=my-operator", "-p", "no:cacheprovider")
    ran = in_folder(project, "pytest", "-q", "tests/test_operator.py", *options)
    assert ran.returncode == 0, ran.stdout
    assert recorded.read_text() == (project / "rbac.yaml").read_text()


def test_the_manifests_of_a_new_project_have_not_drifted_and_a_change_is_seen(project: Path) -> None:
    same = in_folder(project, "kinformer", "manifests", TARGET, "--check")
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "")

    file = project / "deploy/base/deployment.yaml"
    file.write_text(file.read_text().replace("cpu: 50m", "cpu: 5m"))
    (project / "deploy/values.yaml").write_text("replicas: 3\n")
    drifted = in_folder(project, "kinformer", "manifests", TARGET, "--check")
    assert drifted.returncode == 1
    assert "-            cpu: 5m\n+            cpu: 50m\n" in drifted.stdout
    assert "has drifted from the code: base/deployment.yaml (changed)" in drifted.stderr

    written = in_folder(project, "kinformer", "manifests", TARGET)
    assert (written.returncode, written.stdout) == (0, "wrote deploy/base/deployment.yaml\n")
    assert (project / "deploy/values.yaml").read_text() == "replicas: 3\n"


def test_the_rights_are_those_that_were_recorded_and_those_of_the_leases(project: Path) -> None:
    roles = [*yaml.safe_load_all((project / "deploy/base/roles.yaml").read_text())]
    (whole,) = (each for each in roles if each["kind"] == "ClusterRole")
    granted = {(resource, verb) for rule in whole["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == {
        *(("deployments", verb) for verb in ("create", "list", "patch", "watch")),
        *(("websites", verb) for verb in ("list", "watch")),
        ("websites/status", "patch"),
    }
    (own,) = (each for each in roles if each["kind"] == "Role")
    assert own["metadata"]["namespace"] == "my-operator"
    assert [rule["resources"] for rule in own["rules"]] == [["leases"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("init", "My_Operator"), "'my-operator' would do"),
        (("init", ""), "the path is empty"),
        (("init", "json"), "there is a module 'json'"),
        (("init", "docs/how-to"), "is not an empty folder"),
        (("manifests", "nothing_of_this_name"), "there is no module"),
        # There is no cluster either; the name is the nearer fault.
        (("run", "nothing_of_this_name"), "there is no module"),
        (("run", "--reload", "my_operator.py"), "names a file, and a module is wanted"),
        (("manifests", "builtins:str"), "returned a str"),
        (("manifests", "json:dumps", "--name", "A_b"), "--name 'A_b'"),
        (("manifests", "json:dumps", "--namespace", "a.b"), "--namespace 'a.b'"),
        (("manifests", "json:dumps", "--rbac", "absent.yaml"), "there is no such file"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(kinformer: Run, arguments: tuple[str, ...], reason: str) -> None:
    done = kinformer(*arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
