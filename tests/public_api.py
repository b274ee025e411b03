"""Write the public API as lines of text: one per name, with the signature of each call.

    python -m tests.public_api            # prints the lines
    python -m tests.public_api --write    # renews tests/data/public_api.txt, after a change that was meant

`tests/test_public_api.py` compares the lines with the file and shows a change as a diff.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

import kinformer
from kinformer._manifest_fields import ManifestField
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = DATA / "public_api.txt"


def public_api() -> list[str]:
    """Return a line for each public name, method and property, sorted by name."""
    return [line for name in sorted(kinformer.__all__) for line in _lines(name, getattr(kinformer, name))]


def _lines(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base.__module__.startswith("kinformer"))
    yield f"class {name}{f'({bases})' if bases else ''}"
    if issubclass(value, enum.Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in value)
        return
    yield f"{name}{_signature(value)}"
    for attribute in _attributes(value):
        found = inspect.getattr_static(value, attribute)
        if isinstance(found, ManifestField):
            continue  # it has a message, but is no attribute
        if isinstance(found, property):
            yield f"{name}.{attribute}: {_annotation(found)}"
        elif callable(getattr(value, attribute)):
            kind = "async " if inspect.iscoroutinefunction(getattr(value, attribute)) else ""
            yield f"{kind}{name}.{attribute}{_signature(getattr(value, attribute))}"
        else:
            yield f"{name}.{attribute}"


def _attributes(value: type) -> list[str]:
    """Return the public names of a class: its own, and those of bases that are no public classes themselves."""
    hidden = [base for base in value.__mro__[1:] if base.__module__.startswith("kinformer") and not _is_public(base)]
    return sorted({name for part in (value, *hidden) for name in vars(part) if not name.startswith("_")})


def _is_public(kind: type) -> bool:
    return getattr(kinformer, kind.__name__, None) is kind


def _annotation(found: property) -> str:
    return str(inspect.signature(found.fget).return_annotation) if found.fget else "?"


def _signature(value: Any) -> str:
    if hasattr(value, "__struct_fields__"):  # msgspec evaluates annotations, and some are for type checkers only
        return f"({', '.join(value.__struct_fields__)})"
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(...)"
    # Annotations are strings in the source; the quotes would be noise. Addresses change with each run.
    return re.sub(r" at 0x\w+", "", text.replace("'", ""))


if __name__ == "__main__":
    text = "".join(f"{line}\n" for line in public_api())
    if "--write" in sys.argv:
        RECORDED.write_text(text)
    else:
        sys.stdout.write(text)
