"""`kinformer crd`: the CustomResourceDefinitions of classes, as YAML."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinformer.cli._session import UsageProblem, code_of, write
from kinformer.custom_resources import crd, is_custom_resource, resource_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

__all__ = ["check_form", "classes_in", "classes_of", "definitions_of", "imported", "print_definitions"]


async def print_definitions(targets: Sequence[str]) -> int:
    """Print the CRDs of modules ("myapp.api": all its classes) and classes ("myapp.api:Website").

    Raises:
        UsageProblem: a module or a name in it is missing, or there is no custom resource.
    """
    import yaml

    definitions = definitions_of(kind for target in targets for kind in classes_of(target))
    write(yaml.safe_dump_all(definitions, sort_keys=False, allow_unicode=True, width=120))
    return 0


def definitions_of(classes: Iterable[type]) -> list[dict[str, Any]]:
    """Return the CRDs of classes, sorted by name; classes of one resource are its versions.

    Raises:
        UsageProblem: two classes do not go together.
    """
    kinds: dict[str, list[type]] = {}
    for kind in classes:
        of_one = kinds.setdefault(resource_of(kind).qualified, [])
        if kind not in of_one:
            of_one.append(kind)
    try:
        return [crd(*versions) for _, versions in sorted(kinds.items())]
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def classes_in(module: ModuleType) -> list[type]:
    """Return the custom resources among the names of a module, also those that it imports."""
    return [value for value in vars(module).values() if is_custom_resource(value)]


def check_form(target: str) -> None:
    """Refuse the name of a file where that of a module is wanted.

    Raises:
        UsageProblem: it is no name of a module.
    """
    name = target.partition(":")[0]
    if name.endswith(".py") or "/" in name or name.startswith("."):
        module = name.removesuffix(".py").strip("./").replace("/", ".") or "myapp"
        msg = f"{name!r} names a file, and a module is wanted; write it as in {module}:manager"
        raise UsageProblem(msg)


def imported(target: str) -> tuple[ModuleType, list[str]]:
    """Import the module of "module:name", also one of the current directory; return it and the names.

    Raises:
        UsageProblem: there is no such module.
        ProgramFailed: the module raises when it is imported.
    """
    check_form(target)
    name, _, rest = target.partition(":")
    if not name:
        msg = f"{target!r} is no module; write module:name, as in myapp.api:Website"
        raise UsageProblem(msg)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with code_of(name):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A module that the target itself imports is missing for another reason.
            if not error.name or not f"{name}.".startswith(f"{error.name}."):
                raise
            msg = f"there is no module {error.name!r} here or in the environment; write it as in myapp.api:Website"
            raise UsageProblem(msg) from None
    return module, rest.split(".") if rest else []


def classes_of(target: str) -> list[type]:
    module, names = imported(target)
    if not names:
        # Those that are only imported there count, too: a package collects its versions in one place.
        found = classes_in(module)
        if not found:
            msg = f"{target} has no class with @custom_resource"
            raise UsageProblem(msg)
        return found
    value: Any = module
    for name in names:
        try:
            value = getattr(value, name)
        except AttributeError:
            msg = f"{target}: there is no {name!r} in it"
            raise UsageProblem(msg) from None
    if not is_custom_resource(value):
        msg = f"{target} is no class with @custom_resource"
        raise UsageProblem(msg)
    return [value]
