"""All callbacks that the public calls take: functions, and objects of users whose methods are called.

    python -m tests.callbacks            # prints them

A parameter takes a callback if its annotation names `Callable`, an alias of it, or a Protocol of kinformer. A decorator
takes one, too: its entry is "Class.method(return)". `tests/test_callbacks.py` wants a test for each of them.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING, Any, Final

import kinformer
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = ROOT / "kinformer"
_WORD: Final = re.compile(r"\b\w+\b")
_ALIAS: Final = re.compile(r"^(\w+): TypeAlias = (.+(?:\n[ )\]].*)*)", re.MULTILINE)
_PROTOCOL: Final = re.compile(r"^class (\w+)\([^)]*\bProtocol\b", re.MULTILINE)


def callback_types() -> frozenset[str]:
    """Return the names in annotations that stand for callbacks."""
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    aliases = {name: value for source in sources for name, value in _ALIAS.findall(source)}
    found = {"Callable", *(name for source in sources for name in _PROTOCOL.findall(source))}
    while more := {alias for alias, value in aliases.items() if found & {*_WORD.findall(value)}} - found:
        found |= more
    return frozenset(found)


def public_modules() -> list[str]:
    """Return the modules that a user may import, without the command line."""
    names = [module.name for module in pkgutil.walk_packages(kinformer.__path__, "kinformer.")]
    shown = [name for name in names if not any(part[0] == "_" for part in name.split(".")[1:])]
    return ["kinformer", *(name for name in shown if name.split(".")[1] != "cli")]


def callbacks() -> dict[str, str]:
    """Return each callback, as "Class.method(parameter)", with the module that shows it."""
    types = callback_types()
    found: dict[str, str] = {}
    seen: set[int] = set()
    for module in public_modules():
        shown = importlib.import_module(module)
        for name in getattr(shown, "__all__", ()):
            value = getattr(shown, name)
            if id(value) in seen or not callable(value) or not _is_ours(value):
                continue
            seen.add(id(value))
            for label, call in _calls(name, value):
                for parameter, annotation in _annotations(call):
                    if types & {*_WORD.findall(annotation)}:
                        found.setdefault(f"{label}({parameter})", module)
    return found


def _is_ours(value: Any) -> bool:
    if not str(getattr(value, "__module__", "")).startswith("kinformer"):
        return False
    return not (inspect.isclass(value) and (issubclass(value, enum.Enum) or getattr(value, "_is_protocol", False)))


def _calls(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not inspect.isclass(value):
        yield name, value
        return
    yield name, value.__init__
    for attribute in dir(value):
        found = inspect.getattr_static(value, attribute)
        function = getattr(found, "__func__", found)
        if attribute[0] != "_" and inspect.isfunction(function):
            yield f"{name}.{attribute}", function


def _annotations(call: Any) -> Iterator[tuple[str, str]]:
    try:
        signature = inspect.signature(inspect.unwrap(call))
    except (TypeError, ValueError):
        return
    for parameter in signature.parameters.values():
        if parameter.name[0] != "_":
            yield parameter.name, str(parameter.annotation)
    # A function that is returned is a decorator, or the end of something (`Callable[[], None]`).
    returned = str(signature.return_annotation)
    if "Callable[[Callable" in returned or re.search(r"Callable\[\[[A-Z]\w*\], ", returned):
        yield "return", returned


if __name__ == "__main__":
    for entry, where in callbacks().items():
        print(f"{entry:60} {where}")
