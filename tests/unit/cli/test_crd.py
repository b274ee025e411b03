"""kinformer crd: YAML of the classes of a module, and clear refusals."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from kinformer.cli._app import run

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import msgspec
from kinformer import custom_resource

class Spec(msgspec.Struct):
    "The wish."
    size: int = 1

@custom_resource(group="example.com", version="v1")
class Website(msgspec.Struct):
    spec: Spec

@custom_resource(group="example.com", version="v1beta1", kind="Website", storage=False)
class OldWebsite(msgspec.Struct):
    spec: Spec

@custom_resource(group="example.com", version="v1", scope="Cluster")
class Domain(msgspec.Struct):
    spec: Spec
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "operator_classes.py").write_text(SOURCE)
    (tmp_path / "needs_more.py").write_text("import not_installed_at_all")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("operator_classes", None)


def test_a_module_gives_one_definition_per_resource_with_all_its_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["crd", "operator_classes"]) == 0
    domain, website = yaml.safe_load_all(capsys.readouterr().out)
    assert domain["metadata"]["name"] == "domains.example.com"
    assert [(each["name"], each["storage"]) for each in website["spec"]["versions"]] == [
        ("v1", True),
        ("v1beta1", False),
    ]


def test_a_class_gives_its_own_definition(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["crd", "operator_classes:Website"]) == 0
    (website,) = yaml.safe_load_all(capsys.readouterr().out)
    schema = website["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert schema["description"] == "The wish."
    assert schema["properties"]["size"] == {"type": "integer", "format": "int64", "default": 1}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module", "there is no module 'no_such_module'"),
        ("operator_classes:Nothing", "there is no 'Nothing'"),
        ("operator_classes:Spec", "is no class with @custom_resource"),
        ("json", "has no class with @custom_resource"),
        ("operator_classes:OldWebsite", "exactly one version"),
        (":", "is no module"),
        ("myapp.py", "'myapp.py' names a file, and a module is wanted; write it as in myapp:manager"),
        ("./my/app.py", "write it as in my.app:manager"),
        ("/etc/passwd", "names a file"),
        ("..", "names a file"),
    ],
)
def test_a_target_without_a_class_is_refused_with_the_reason(
    target: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["crd", target]) != 0
    assert reason in capsys.readouterr().err


FAULTY = {
    "raises": ("1 / 0", "raises: ZeroDivisionError: division by zero (raises.py, line 1, in <module>"),
    "refuses": ("raise ValueError('no port')", "refuses: ValueError: no port (refuses.py, line 1, in <module>"),
    "needs": (
        "\nimport absent_module",
        "needs: ModuleNotFoundError: No module named 'absent_module' (needs.py, line 2",
    ),
    "does_not_parse": ("x = 1\nretur x", "(does_not_parse.py, line 2;"),
    "calls_kinformer": (
        "from kinformer import Shard\nShard(5, of=3)",
        "(calls_kinformer.py, line 2, in <module>; -v shows the traceback)",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_an_error_of_the_users_module_is_reported_with_its_place_and_as_no_error_of_kinformer(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, reported = FAULTY[name]
    (tmp_path / f"{name}.py").write_text(source)
    assert run(["crd", name]) == 1
    said = capsys.readouterr().err
    assert reported in said
    assert "internal error" not in said
    assert len(said.splitlines()) == 1


def test_an_error_of_the_function_that_makes_the_manager_is_reported_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def part():\n    return {}['port']\n\ndef manager(client):\n    return part()\n"
    (tmp_path / "makes_none.py").write_text(source)
    assert run(["manifests", "makes_none"]) == 1
    said = "kinformer: makes_none: KeyError: 'port' (makes_none.py, line 2, in part; -v shows the traceback)\n"
    assert capsys.readouterr().err == said
