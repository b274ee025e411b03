"""Each test that a page names exists, and docs/conformance.md answers all of client-go's tests.

The other direction, from a module to its tests, is `python -m tests.mirror kinformer/<module>.py`.
"""

from __future__ import annotations

import ast
import configparser
import re
from functools import cache

from tests.paths import ROOT

DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
TEXT = (ROOT / "docs" / "conformance.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PLACES = sorted({place for page in PAGES for place in re.findall(r"`(tests/[\w/.]+::\w+)`", page.read_text())})
ROWS = re.findall(r"^\| (Test\w+) \| (.+) \|$", TEXT, re.MULTILINE)


@cache
def defined(path: str) -> frozenset[str]:
    """The tests of a file: functions, and state machines assigned to a name."""
    tree = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset(functions | assigned)


def test_each_test_that_is_named_exists() -> None:
    named = [place.partition("::") for place in PLACES]
    assert [name for path, _, name in named if not name.lower().startswith("test") or name not in defined(path)] == []


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def is_defined(place: str) -> bool:
    path, _, name = place.partition("::")
    body = ast.parse((ROOT / "kinformer" / path).read_text()).body
    for part in name.split("."):
        found = [node for node in body if isinstance(node, DEFINITIONS) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_each_function_that_the_architecture_names_exists() -> None:
    places = set(re.findall(r"`([\w/]+\.py::[\w.]+)`", ARCHITECTURE))
    assert len(places) > 20
    assert sorted(place for place in places if not is_defined(place)) == []


def test_each_file_that_the_architecture_names_exists() -> None:
    places = set(re.findall(r"`([\w/]+(?:\.py|/))`", ARCHITECTURE))
    assert len(places) > 20
    assert (
        sorted(place for place in places if not any((top / place).exists() for top in (ROOT, ROOT / "kinformer"))) == []
    )


def test_the_architecture_has_a_line_for_each_package() -> None:
    table = ARCHITECTURE.partition("## The packages")[2].partition("## ")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    there = {
        path.stem for path in (ROOT / "kinformer").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} == named, "name each package and top-level module in docs/architecture.md"


def test_the_architecture_has_the_layers_that_are_checked() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    checked = config["importlinter:contract:stages"]["layers"].split("\n")
    shown = ARCHITECTURE.partition("## The rules of the layers")[2].split("```")[1].removeprefix("text\n")
    assert [set(re.findall(r"\w+", layer)) for layer in shown.split("/")] == [
        set(re.findall(r"\w+", layer)) for layer in checked if layer
    ]


def test_the_architecture_links_each_note_on_a_decision() -> None:
    decisions = ARCHITECTURE.partition("## Decisions")[2]
    notes = {path.name for path in (ROOT / "docs" / "design").glob("[0-9]*.md")}
    assert set(re.findall(r"\(design/([^)]+)\)", decisions)) == notes


def test_each_of_client_gos_222_tests_is_answered() -> None:
    # TestResetWatch and TestIndexer are the names of two tests each, in two files.
    assert len(ROWS) == 222
    for name, answer in ROWS:
        assert "::" in answer or answer.startswith(("Not applicable", "Differs", "Not yet")), name
