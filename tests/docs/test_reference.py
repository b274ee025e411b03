"""The reference lists what users hold: each public name is there, has text, and no private name is shown."""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import kinformer
from tests.paths import ROOT

PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
ENTRIES = [name for page in PAGES for name in re.findall(r"^::: ([\w.]+)", page.read_text(), re.MULTILINE)]


def found(name: str) -> Any:
    """The module or object of an entry."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        home, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(home), attribute)


def shown(entry: str) -> dict[str, Any]:
    """The names that an entry shows, with their objects."""
    owner = found(entry)
    if not isinstance(owner, ModuleType):
        return {entry.rpartition(".")[2]: owner}
    return {name: getattr(owner, name) for name in owner.__all__}


def members(owner: type) -> dict[str, Any]:
    """The public members of a class and of its bases in the package."""
    bases = [base for base in reversed(owner.__mro__) if base.__module__.startswith("kinformer.")]
    return {
        name: member
        for base in bases
        for name, member in vars(base).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod))
    }


def test_each_name_has_text() -> None:
    without = []
    for name, obj in [pair for entry in ENTRIES for pair in shown(entry).items()]:
        if inspect.isclass(obj):
            without += [f"{name}.{member}" for member, value in members(obj).items() if not value.__doc__]
        if (inspect.isclass(obj) or inspect.isfunction(obj)) and not obj.__doc__:
            without.append(name)
    assert without == []


def test_each_name_of_the_front_door_is_in_the_reference() -> None:
    there = {name for entry in ENTRIES for name in shown(entry)}
    assert sorted(set(kinformer.__all__) - there - {"__version__"}) == []


def test_each_entry_is_there_once() -> None:
    assert sorted(ENTRIES) == sorted(set(ENTRIES))


def test_the_readme_leads_to_each_how_to() -> None:
    readme = (ROOT / "README.md").read_text()
    pages = sorted((ROOT / "docs/how-to").glob("*.md"))
    assert pages
    assert [page.name for page in pages if f"(docs/how-to/{page.name})" not in readme] == []
