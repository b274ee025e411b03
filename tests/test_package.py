"""What importing costs, and what it promises."""

from __future__ import annotations

import configparser
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import kinformer
from tests.paths import ROOT

HEAVY = ("kubernetes_asyncio", "kubernetes", "click", "rich", "yaml", "fastapi", "prometheus_client")

MODULES = [
    module.name
    for module in pkgutil.walk_packages(kinformer.__path__, "kinformer.")
    if module.name != "kinformer.__main__"
]


def in_a_new_process(program: str) -> Any:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "statement",
    [
        "import kinformer",
        "from kinformer import Client, ClusterConfig, SharedInformerFactory, Controller, RateLimitingQueue",
    ],
)
def test_importing_loads_nothing_that_is_not_needed_yet(statement: str) -> None:
    loaded = in_a_new_process(f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))")
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}


def test_the_client_and_the_factory_load_no_part_that_only_some_programs_use() -> None:
    program = "from kinformer import Client, SharedInformerFactory\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    loaded = in_a_new_process(program)
    parts = ("kinformer.operators", "kinformer.custom_resources", "difflib")
    assert [name for name in loaded if name.startswith(parts)] == []


def test_a_server_whose_clients_send_json_and_no_policies_loads_neither_yaml_nor_cel() -> None:
    # They are two megabytes of the memory of `kinformer serve-api`.
    program = "from kinformer.testing import ApiServer, build\nApiServer().create(build.config_map('a'))\n"
    loaded = in_a_new_process(f"{program}import json, sys\nprint(json.dumps([*sys.modules]))")
    assert "kinformer.testing._apiserver.rules.fields" in loaded
    parts = ("yaml", "kinformer.testing._apiserver.rules.cel", "difflib")
    assert [name for name in loaded if name.startswith(parts)] == []


def test_a_controller_loads_no_part_of_shard_groups() -> None:
    program = "import kinformer\nkinformer.Controller\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    parts = [name for name in in_a_new_process(program) if name.startswith("kinformer.")]
    assert "kinformer.controller._controller" in parts
    assert [name for name in parts if "._shard_" in name] == []


def test_a_worker_that_reads_from_another_one_loads_no_http_server() -> None:
    program = "from kinformer.proxy import WorkerCaches\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    loaded = in_a_new_process(program)
    assert [name for name in loaded if name.startswith(("aiohttp.web", "kinformer.proxy._server"))] == []


def test_the_work_queue_needs_the_standard_library_alone() -> None:
    program = "import json, sys\nbefore = {*sys.modules}\nimport kinformer.workqueue\n"
    program += "print(json.dumps([*{*sys.modules} - before]))"
    loaded = {name.partition(".")[0] for name in in_a_new_process(program)}
    assert loaded <= sys.stdlib_module_names | {"kinformer"}


def test_importing_executes_at_most_half_of_what_the_kubernetes_asyncio_client_does() -> None:
    # Modules and code size, not seconds: those are measured by benchmarks, where noise can be dealt with.
    program = """
import sys
before = set(sys.modules)
{statement}
new = [module for name, module in sys.modules.items() if name not in before]
print(len(new))
"""
    ours = in_a_new_process(program.format(statement="import kinformer"))
    theirs = in_a_new_process(program.format(statement="import kubernetes_asyncio.client"))
    assert ours * 2 <= theirs


def test_every_module_says_what_it_offers() -> None:
    modules = {name: importlib.import_module(name) for name in MODULES}
    assert [name for name, module in modules.items() if not module.__doc__] == [], "these have no docstring"
    absent = [
        f"{name}.{offered}"
        for name, module in modules.items()
        for offered in getattr(module, "__all__", ())
        if not hasattr(module, offered)
    ]
    assert absent == [], "__all__ names these, which are not there"


def test_a_struct_whose_repr_is_its_own_shows_rich_no_more_than_that() -> None:
    """Otherwise rich, and its tracebacks with local variables, would print each field, so the data of a Secret."""
    for module in MODULES:
        importlib.import_module(module)
    structs, found = [msgspec.Struct], []
    while structs:
        struct = structs.pop()
        structs += struct.__subclasses__()
        own = struct.__repr__ is not msgspec.Struct.__repr__
        if own and struct.__rich_repr__ is msgspec.Struct.__rich_repr__ and struct.__module__.startswith("kinformer"):
            found.append(struct)
    assert found == []


def test_the_exceptions_of_the_import_contracts_name_modules_that_exist() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    top = {f"kinformer.{module.name}" for module in pkgutil.iter_modules(kinformer.__path__)}
    ignored = [line for one in config.sections() for line in config[one].get("ignore_imports", "").splitlines() if line]
    named = {line.partition(" -> ")[0].removesuffix(".**") for line in ignored}
    assert named
    assert named <= top


def test_every_name_of_the_front_door_is_there() -> None:
    for name in kinformer.__all__:
        assert getattr(kinformer, name) is not None
    assert set(kinformer.__all__) <= set(dir(kinformer))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = kinformer.no_such_name


def test_the_wheel_has_the_license_the_types_and_nothing_but_the_package(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (license_file,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(license_file) == (ROOT / "LICENSE").read_bytes()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
    assert "kinformer/py.typed" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"kinformer"}


def test_the_sdist_has_what_the_project_needs_to_be_built_tested_and_judged(tmp_path: Path) -> None:
    (sdist,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    papers = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"}
    assert papers | {"pyproject.toml", "mkdocs.yml", "Makefile", ".importlinter"} <= names
    assert {"kinformer/__init__.py", "tests/conftest.py", "docs/index.md", "examples/README.md"} <= names
    assert not [name for name in names if name.startswith((".venv/", "dist/", "build/"))]


TEXTS = [
    path
    for folder in ("kinformer", "tests", "benchmarks", "examples", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".js", ".yaml"} and "node_modules" not in path.parts
]
OUTSIDE = re.compile(r"\bshared/|\bdesign \d|\bclient-go R\d|\brows? [RC]\d|/work/")


def test_no_text_refers_to_a_place_outside_the_repository() -> None:
    papers = [*TEXTS, *ROOT.glob("*.md"), *(ROOT / name for name in ("pyproject.toml", ".importlinter", "Makefile"))]
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in papers
        if path != Path(__file__)
        for match in OUTSIDE.finditer(path.read_text())
    ]
    assert found == [], "refer to docs/architecture.md or to a note in docs/design/"
