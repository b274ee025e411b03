"""Every error that users can meet is on the page about errors, with its cause and its remedy."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import kinformer
from kinformer import errors
from kinformer.errors import KinformerError
from tests.paths import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def public_errors() -> set[str]:
    for module in pkgutil.walk_packages(kinformer.__path__, "kinformer."):
        if module.name != "kinformer.__main__":
            importlib.import_module(module.name)
    found, waiting = set(), [KinformerError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return {kind.__name__ for kind in found if kind.__module__.startswith("kinformer.") and kind.__name__[0] != "_"}


def test_every_public_error_has_a_cause_and_a_remedy_in_the_manual() -> None:
    rows = ROW.findall((ROOT / "docs/reference/errors.md").read_text())
    names = [name for name, *_ in rows]
    assert sorted(names) == sorted(public_errors())
    assert all(len(cause) > 20 and len(remedy) > 20 for _, cause, remedy in rows)


def test_the_tree_of_errors_shows_each_class_below_its_base() -> None:
    tree = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, KinformerError):
            assert re.search(rf"(?:── |^ {{4}}){name}\b", tree, re.MULTILINE), f"{name} is not in the tree"
