"""Names in Python for names in JSON: identifiers that mean nothing else in the file that is written."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["attribute_of", "camel_of", "class_name_of", "unused"]

# Types of the fields, which a field of this name would hide in the rest of its class.
_TYPES: Final = frozenset({"str", "int", "float", "bool", "list", "dict", "msgspec"})
_RESERVED_CLASSES: Final = frozenset({"Any", "NotRequired", "TypedDict", *keyword.kwlist, *vars(builtins)})
# "hostIPs" and "nonResourceURLs" have one word each at the end; so has "podCIDR", and "APIVersion" two.
_WORDS: Final = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")


def attribute_of(name: str) -> str:
    """Return the name of an attribute, in snake case: "pod_ips" for "podIPs"."""
    words = _WORDS.findall(name)
    # A number belongs to the word before it: "ipv4", "sha256".
    joined = re.sub(r"_(?=[0-9])", "", "_".join(words)).lower() or "field"
    if joined[0].isdigit():
        joined = f"field_{joined}"
    return f"{joined}_" if keyword.iskeyword(joined) or joined in _TYPES else joined


def camel_of(attribute: str) -> str:
    """Return the name in JSON that msgspec's `rename="camel"` gives an attribute."""
    first, *others = attribute.split("_")
    return first + "".join(word.title() for word in others)


def class_name_of(*parts: str) -> str:
    """Return the name of a class: "WebsiteSpec" of "Website" and "spec"."""
    pieces = [piece for part in parts for piece in re.split(r"[^A-Za-z0-9]+", part) if piece]
    name = "".join(piece[0].upper() + piece[1:] for piece in pieces) or "Part"
    if name[0].isdigit():
        name = f"Part{name}"
    return f"{name}_" if name in _RESERVED_CLASSES else name


def unused(name: str, used: Container[str]) -> str:
    """Return a name, or the first that begins with it and is not used."""
    number, candidate = 2, name
    while candidate in used:
        candidate, number = f"{name}{number}", number + 1
    return candidate
