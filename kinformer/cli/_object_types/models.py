"""Classes and their fields, made of schemas; `class_texts` writes them as Python.

A class is made for each schema with fields that is reached from a kind. Two kinds that refer to one schema share its
class.
"""

from __future__ import annotations

import difflib
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._object_types.names import class_name_of, unused
from kinformer.cli._object_types.schemas import OBJECT_META
from kinformer.cli._object_types.wanted import Wanted
from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kinformer.cli._object_types.schemas import Kind, Schemas

__all__ = ["Class", "Field", "Form", "classes_of"]

_STORED_META: Final = "metadata of objects"
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_OBJECT: Final = "dict[str, Any]"


@dataclass(frozen=True, slots=True)
class Form:
    """The type of a field.

    Attributes:
        text: the type in Python; `{}` stands for the name of the class.
        key: the key of the class in it; "" if there is none.
        nullable: whether the value may be null.
    """

    text: str
    key: str = ""
    nullable: bool = False

    @property
    def is_class(self) -> bool:
        """Return whether the type is a class itself, and not a list or a map of it."""
        return self.text == "{}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class.

    Attributes:
        name: the name in JSON.
        form: the type.
        required: whether each object has it.
        filled: whether the server writes an empty part where the field is not given.
        constant: its value in all objects of the class; "" if it has no such value.
        about: the description in the schema.
    """

    name: str
    form: Form
    required: bool = False
    filled: bool = False
    constant: str = ""
    about: str = ""


@dataclass(slots=True)
class Class:
    """A class that is written.

    Attributes:
        name: its name.
        about: the description of the schema.
        kind: the kind that it stands for, if it stands for whole objects.
        of_metadata: whether it is the metadata of whole objects.
        fields: the fields.
    """

    name: str
    about: str
    kind: Kind | None = None
    of_metadata: bool = False
    fields: list[Field] = field(default_factory=list)


def classes_of(schemas: Schemas, kinds: Sequence[Kind], paths: Sequence[str] = ()) -> dict[str, Class]:
    """Return the classes by key, each after those that it refers to, as far as there is such an order.

    Args:
        schemas: the schemas.
        kinds: the kinds that get a class.
        paths: only these fields, beside names; no path means all.

    Raises:
        UsageProblem: a kind has no schema, or a path leads nowhere.
    """
    return _Maker(schemas, kinds, paths).classes()


class _Maker:
    def __init__(self, schemas: Schemas, kinds: Sequence[Kind], paths: Sequence[str]) -> None:
        self._schemas = schemas
        self._roots = {schemas.name_of(kind): kind for kind in kinds}
        self._parts = dict(schemas.components)
        if OBJECT_META in self._parts:
            known = self._parts[OBJECT_META]
            self._parts[_STORED_META] = {**known, "required": ["name"]}
        self._names: dict[str, tuple[str, ...]] = {}
        self._wanted: dict[str, Wanted] = {}
        self._collect(paths)

    def classes(self) -> dict[str, Class]:
        names = self._class_names()
        made = {key: self._class(key, names[key]) for key in self._wanted}
        return {key: made[key] for key in _in_order(made)}

    def _collect(self, paths: Sequence[str]) -> None:
        """Find the schemas that are reached, and the fields of each that are wanted."""
        for path in paths:
            self._check(path)
        named = Wanted(fields={"metadata": Wanted(fields={"name": Wanted(True), "namespace": Wanted(True)})})
        waiting: deque[tuple[str, Wanted]] = deque()
        for root in self._roots:
            wanted = Wanted.parse(paths)
            wanted.add(named)
            waiting.append((root, wanted))
        while waiting:
            key, wanted = waiting.popleft()
            if not self._wanted.setdefault(key, Wanted()).add(wanted):
                continue
            for name, form in self._forms(key):
                below = wanted.of(name)
                if below is not None and form.key:
                    waiting.append((form.key, below))

    def _check(self, path: str) -> None:
        """Refuse a path that no kind has.

        Raises:
            UsageProblem: it leads nowhere.
        """
        steps = [*_steps(Wanted.parse([path]))]
        problems = [problem for root in self._roots if (problem := self._problem(root, steps))]
        if len(problems) == len(self._roots):
            raise UsageProblem(f"--fields {path}: {problems[0]}")

    def _problem(self, key: str, steps: Sequence[str]) -> str:
        for place, step in enumerate(steps):
            if not key:
                return f"{'.'.join(steps[:place])} has no fields; end the path there"
            forms = dict(self._forms(key))
            if step not in forms:
                close = difflib.get_close_matches(step, forms, n=1)
                where = ".".join(steps[:place]) or self._roots[key].name
                return f"{where} has no field {step!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            key = forms[step].key
        return ""

    def _forms(self, key: str) -> Iterator[tuple[str, Form]]:
        for name, schema in self._properties(key):
            yield name, self._form(schema, key, name)

    def _properties(self, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        properties = self._parts[key].get("properties") or {}
        for name, schema in properties.items():
            yield name, schema if isinstance(schema, dict) else {}

    def _form(self, schema: Mapping[str, Any], key: str, name: str) -> Form:
        """Return the type of a field of the class `key`; a part without a name of its own becomes a class."""
        nullable = schema.get("nullable") is True
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            return Form("int | str", nullable=nullable)
        referred = self._schemas.referred(schema)
        if referred:
            return self._of_component(_STORED_META if key in self._roots and referred == OBJECT_META else referred)
        match schema.get("type"):
            case "array":
                item = self._form(schema.get("items") or {}, key, f"{name} item")
                return Form(f"list[{_or_null(item)}]", item.key, nullable)
            case "object" | None if schema.get("properties") and not schema.get("x-kubernetes-embedded-resource"):
                inline = f"{key}#{name}"
                self._parts.setdefault(inline, dict(schema))
                self._names.setdefault(inline, (key, name))
                return Form("{}", inline, nullable)
            case "object":
                values = schema.get("additionalProperties")
                if not isinstance(values, dict) or schema.get("x-kubernetes-embedded-resource"):
                    return Form(_OBJECT, nullable=nullable)
                value = self._form(values, key, f"{name} value")
                return Form(f"dict[str, {_or_null(value)}]", value.key, nullable)
            case "string" if schema.get("format") == "date-time":
                return Form("str", nullable=True)
            case str() as scalar if scalar in _SCALARS:
                return Form(_SCALARS[scalar], nullable=nullable)
        return Form("Any")

    def _of_component(self, name: str) -> Form:
        schema = self._parts[name]
        if schema.get("properties"):
            return Form("{}", name)
        if name.endswith(".api.resource.Quantity"):
            # Numbers may be written, too; the server makes text of them.
            return Form("str")
        return self._form({key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}, name, "value")

    def _class_names(self) -> dict[str, str]:
        """Return a name for each class: the last part of the name of its schema, unless two have the same."""
        short = {key: _short(key) for key in self._wanted if key not in self._names}
        if _STORED_META in short:
            short[_STORED_META] = "ObjectMeta"
            if OBJECT_META in short:
                short[OBJECT_META] = "TemplateMeta"
        many = Counter(short.values())
        found: dict[str, str] = {}
        used: set[str] = set()
        for key, name in short.items():
            chosen = unused(_long(key) if many[name] > 1 else name, used)
            used.add(chosen)
            found[key] = chosen
        for key in self._wanted:
            if key in self._names:
                parent, name = self._names[key]
                chosen = unused(class_name_of(found.get(parent) or _short(parent), name), used)
                used.add(chosen)
                found[key] = chosen
        return found

    def _class(self, key: str, name: str) -> Class:
        schema = self._parts[key]
        made = Class(name, _text(schema), self._roots.get(key), of_metadata=key == _STORED_META)
        required = schema.get("required") or ()
        for title, part in self._properties(key):
            named = made.kind is not None and title in {"apiVersion", "kind"}
            if self._wanted[key].of(title) is None and not named:
                continue
            form = self._form(part, key, title)
            if title not in required and self._schemas.may_be_null(key, title):
                form = Form(form.text, form.key, nullable=True)
            filled = part.get("default") == {} and form.is_class
            made.fields.append(
                Field(title, form, title in required, filled, self._constant(made.kind, title), _text(part))
            )
        return made

    def _constant(self, kind: Kind | None, name: str) -> str:
        if kind is None:
            return ""
        return {"apiVersion": kind.api_version, "kind": kind.name}.get(name, "")


def _steps(wanted: Wanted) -> Iterator[str]:
    while wanted.fields:
        ((step, wanted),) = wanted.fields.items()
        yield step


def _or_null(form: Form) -> str:
    return f"{form.text} | None" if form.nullable and form.text != "Any" else form.text


def _text(schema: Mapping[str, Any]) -> str:
    about = schema.get("description")
    return about if isinstance(about, str) else ""


def _short(key: str) -> str:
    return class_name_of(key.rpartition(".")[2].rpartition("#")[2])


def _long(key: str) -> str:
    return class_name_of(*key.rsplit(".", 3)[-3:])


def _in_order(classes: Mapping[str, Class]) -> list[str]:
    """Return the keys, each after those of the classes that it refers to; a circle is cut where it closes."""
    done: dict[str, None] = {}
    seen: set[str] = set()
    for root in classes:
        # Without recursion: a schema may be deep.
        stack: list[tuple[str, Iterator[str]]] = [(root, _references(classes[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            key, rest = stack[-1]
            following = next((each for each in rest if each not in seen), None)
            if following is None:
                done[key] = None
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, _references(classes[following])))
    return [*done]


def _references(made: Class) -> Iterator[str]:
    return iter([each.form.key for each in made.fields if each.form.key])
