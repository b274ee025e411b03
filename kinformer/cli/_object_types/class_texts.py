"""Classes as Python source: msgspec Structs or TypedDicts.

All that comes from a schema is foreign text. It gets into the source as an identifier, as a `repr`, or as an escaped
docstring, so that no schema can bring code.
"""

from __future__ import annotations

import enum
import re
import textwrap
from typing import TYPE_CHECKING, Final

from kinformer.cli._object_types.names import attribute_of, camel_of, unused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinformer.cli._object_types.models import Class, Field

__all__ = ["Style", "source_of_classes"]

_WIDTH: Final = 100
_SENTENCE: Final = re.compile(r".+?[.!?](?=\s+[A-Z]|\s*$)", re.DOTALL)
# Names of types, which a key of this name would hide in the rest of a class.
_HIDING: Final = frozenset({"str", "int", "float", "bool", "list", "dict"})
# Fields of the metadata of whole objects that read best without None, with their types and defaults.
_META: Final = {
    "namespace": ("str", '""'),
    "uid": ("str", '""'),
    "resourceVersion": ("str", '""'),
    "labels": ("dict[str, str]", "{}"),
    "annotations": ("dict[str, str]", "{}"),
    "finalizers": ("list[str]", "[]"),
}
_OPTIONS: Final = 'frozen=True, kw_only=True, omit_defaults=True, rename="camel"'
# A whole object is written with its kind, which is a default.
_OPTIONS_OF_KIND: Final = 'frozen=True, kw_only=True, rename="camel"'


class Style(enum.StrEnum):
    """The kind of class that is written."""

    STRUCT = "struct"
    TYPED_DICT = "typeddict"


def source_of_classes(
    classes: Mapping[str, Class], style: Style, *, heading: str, origins: Iterable[str], docs: bool
) -> str:
    """Return the source of a module.

    Args:
        classes: the classes by key, each after those that it refers to.
        style: Structs or TypedDicts.
        heading: the command that makes the module.
        origins: the origins of the schemas.
        docs: whether fields have their descriptions.
    """
    writer = _Structs(classes, docs=docs) if style is Style.STRUCT else _TypedDicts(classes, docs=docs)
    bodies = [writer.text(key) for key in classes]
    # Line breaks and quotes in arguments must not end the docstring.
    said = f"Classes of Kubernetes objects, made by `{heading}`."
    head = [_docstring(f"{said}\n\nThe schemas are of {', '.join(origins)}.", "")]
    imports = writer.imports("\n".join(bodies))
    return "\n\n\n".join(["\n\n".join([*head, "from __future__ import annotations", imports]), *bodies]) + "\n"


class _Structs:
    def __init__(self, classes: Mapping[str, Class], *, docs: bool) -> None:
        self._classes = classes
        self._docs = docs
        self._written: set[str] = set()
        self._needing: set[str] = set()  # classes that cannot be made without arguments

    def imports(self, body: str) -> str:
        typing = "from typing import Any\n\n" if re.search(r"\bAny\b", body) else ""
        return f"{typing}import msgspec"

    def text(self, key: str) -> str:
        made = self._classes[key]
        lines = [f"class {made.name}(msgspec.Struct, {_OPTIONS_OF_KIND if made.kind else _OPTIONS}):"]
        lines += _about(made, docs=self._docs)
        used: set[str] = set()
        for each in made.fields:
            if not _nameable(each.name):
                continue
            attribute = unused(attribute_of(each.name), used)
            used.add(attribute)
            lines.append(f"    {attribute}: {self._declared(key, made, each, attribute)}")
            if self._docs and each.about:
                lines.append(_docstring(_sentence(each.about), "    "))
        self._written.add(key)
        return "\n".join(lines)

    def _declared(self, key: str, made: Class, each: Field, attribute: str) -> str:
        """Return the type of a field, with its default."""
        text = _type_text(self._classes, each)
        other_name = each.name if camel_of(attribute) != each.name else ""
        if each.constant:
            default = _quoted(each.constant)
        elif made.of_metadata and each.name in _META:
            text, default = _META[each.name]
        elif each.filled and each.form.key in self._written:
            if each.form.key not in self._needing:
                other = f", name={_quoted(other_name)}" if other_name else ""
                return f"{text} = msgspec.field(default_factory={text}{other})"
            default = ""
        elif each.required:
            text, default = _with_none(text, if_=each.form.nullable), ""
        else:
            text, default = _with_none(text), "None"
        if not default:
            self._needing.add(key)
        if not other_name:
            return f"{text} = {default}" if default else text
        # A list or a dict as default is copied for each object, but not by `field`.
        factories = {"{}": "default_factory=dict", "[]": "default_factory=list", "": ""}
        arguments = [factories.get(default, f"default={default}"), f"name={_quoted(other_name)}"]
        return f"{text} = msgspec.field({', '.join(filter(None, arguments))})"


class _TypedDicts:
    def __init__(self, classes: Mapping[str, Class], *, docs: bool) -> None:
        self._classes = classes
        self._docs = docs

    def imports(self, body: str) -> str:
        names = [name for name in ("Any", "NotRequired", "TypedDict") if re.search(rf"\b{name}\b", body)]
        return f"from typing import {', '.join(names)}"

    def text(self, key: str) -> str:
        made = self._classes[key]
        types = {each.name: self._declared(made, each) for each in made.fields}
        if not all(name.isidentifier() and attribute_of(name)[-1] != "_" and not _mangled(name) for name in types):
            # Keys that cannot be names in a class.
            entries = "".join(f"        {_quoted(name)}: {_quoted(text)},\n" for name, text in types.items())
            return f"{made.name} = TypedDict(\n    {_quoted(made.name)},\n    {{\n{entries}    }},\n)"
        lines = [f"class {made.name}(TypedDict):", *_about(made, docs=self._docs)]
        for each in made.fields:
            lines.append(f"    {each.name}: {types[each.name]}")
            if self._docs and each.about:
                lines.append(_docstring(_sentence(each.about), "    "))
        return "\n".join(lines)

    def _declared(self, made: Class, each: Field) -> str:
        text = _with_none(_type_text(self._classes, each), if_=each.form.nullable)
        always = each.required or (made.kind is not None and each.filled)
        return text if always else f"NotRequired[{text}]"


def _nameable(name: str) -> bool:
    """Return whether a Struct can have a field with this name in JSON; msgspec refuses the other ones."""
    return name.isprintable() and not {"\\", '"'} & {*name}


def _mangled(name: str) -> bool:
    return name in _HIDING or name.startswith("__")


def _type_text(classes: Mapping[str, Class], each: Field) -> str:
    key = each.form.key
    return each.form.text.replace("{}", classes[key].name) if key else each.form.text


def _with_none(text: str, *, if_: bool = True) -> str:
    return f"{text} | None" if if_ and text != "Any" else text


def _about(made: Class, *, docs: bool) -> list[str]:
    text = _sentence(made.about) if docs else ""
    if not text and made.kind is not None:
        text = f"{made.kind.name} ({made.kind.api_version})."
    lines = [_docstring(text, "    ")] if text else []
    if not any(_nameable(each.name) for each in made.fields):
        return lines or ["    pass"]
    return [*lines, ""] if lines else []


def _sentence(text: str) -> str:
    """Return the first sentence of a description."""
    plain = " ".join(text.split())
    found = _SENTENCE.match(plain)
    return found.group() if found else plain


def _docstring(text: str, indent: str) -> str:
    """Return a text as a docstring; backslashes, control characters, and quotes that could end it are escaped."""
    escaped = "".join(character if character == '"' else _escaped(character) for character in text)
    escaped = escaped.replace('"""', r"\"\"\"")
    if escaped.endswith('"'):
        escaped = rf"{escaped[:-1]}\""
    paragraphs = [
        textwrap.fill(
            paragraph,
            _WIDTH - 3,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ).lstrip()
        for paragraph in escaped.split("\n\n")
    ]
    body = f"\n\n{indent}".join(paragraphs)
    closing = f"\n{indent}" if "\n" in body else ""
    return f'{indent}"""{body}{closing}"""'


def _escaped(character: str) -> str:
    if character in {"\\", '"'}:
        return f"\\{character}"
    if character == "\n" or character.isprintable():
        return character
    return repr(character)[1:-1]


def _quoted(text: str) -> str:
    """Return a text as a literal with double quotes, as formatters write it."""
    return '"' + "".join("\\n" if character == "\n" else _escaped(character) for character in text) + '"'
