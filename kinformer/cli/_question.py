"""The question that `kinformer get` and `kinformer watch` answer: objects of a resource, in a form."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer._display.secrets import is_secret
from kinformer.cli._printers import (
    Change,
    DiffPrinter,
    JsonPathPrinter,
    JsonPrinter,
    NamePrinter,
    TablePrinter,
    YamlPrinter,
    wants_color,
)
from kinformer.cli._selection import Selection
from kinformer.cli._session import UsageProblem, complain, write
from kinformer.client import TableListerWatcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.cli._jsonpath import JsonPath
    from kinformer.cli._printers import Printer
    from kinformer.client import Client, HttpListerWatcher
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Form", "Question", "hint_at_secrets", "print_all", "printer_of", "say_nothing_found", "source_of"]


class Form(enum.StrEnum):
    """A form in which objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"
    JSONPATH = "jsonpath"

    @property
    def is_table(self) -> bool:
        """Return whether it has columns."""
        return self in {Form.TABLE, Form.WIDE}


@dataclass(frozen=True, slots=True)
class Question:
    """The objects to print, and the form.

    Attributes:
        resource: as kubectl names it; "pods/web-0" names one object, too.
        name: only the object of that name.
        selection: the namespace and the selectors.
        form: the form to print them in.
        template: of the form jsonpath.
        show_secrets: whether the values of Secrets are shown.
        diff: whether a table says below each modification what changed.

    Raises:
        UsageProblem: a template does not parse, or two parts contradict each other.
    """

    resource: str
    name: str = ""
    selection: Selection = field(default_factory=Selection)
    form: Form = Form.TABLE
    template: str = ""
    show_secrets: bool = False
    diff: bool = False

    def __post_init__(self) -> None:
        word, slash, name = self.resource.partition("/")
        if slash:
            if self.name or not name or "/" in name:
                msg = f"{self.resource!r} is not RESOURCE or RESOURCE/NAME" + (" with a name" if self.name else "")
                raise UsageProblem(msg)
            object.__setattr__(self, "resource", word)
            object.__setattr__(self, "name", name)
        if self.name and self.selection.all_namespaces:
            raise UsageProblem(f"{self.name!r} is an object in one namespace; leave -A out")
        if self.name and (self.selection.label_selector or self.selection.field_selector):
            raise UsageProblem(f"{self.name!r} names the object, so there is nothing to select; leave the selector out")
        if self.diff and self.form is not Form.TABLE:
            raise UsageProblem(f"--diff goes with the table; leave -o {self.form} out")
        if self.form is Form.JSONPATH:
            _json_path(self.template)


def source_of(client: Client, question: Question, resource: Resource, namespace: str | None) -> HttpListerWatcher:
    """Return the source of the objects: rows of a table where rows are all that is shown, whole objects elsewhere."""
    from kinformer.labels import FieldSelector

    selection = question.selection
    fields = FieldSelector.parse({"metadata.name": question.name} if question.name else selection.field_selector)
    if question.form.is_table and not question.diff:
        return client.table_watch(
            resource, namespace=namespace, label_selector=selection.label_selector, field_selector=str(fields)
        )
    return client.list_watch(
        resource,
        namespace=namespace,
        label_selector=selection.label_selector,
        field_selector=str(fields),
        metadata_only=question.form is Form.NAME,
    )


def printer_of(question: Question, resource: Resource, source: HttpListerWatcher, *, marked: bool) -> Printer:
    """Return the printer for the form; `marked` makes it say what happened to each object."""
    secrets = question.show_secrets
    match question.form:
        case Form.JSON:
            return JsonPrinter(marked=marked, show_secrets=secrets)
        case Form.YAML:
            return YamlPrinter(marked=marked, show_secrets=secrets)
        case Form.NAME:
            return NamePrinter()
        case Form.JSONPATH:
            as_list = not marked and not question.name
            return JsonPathPrinter(_json_path(question.template), as_list=as_list, show_secrets=secrets)
    color = wants_color()
    table = TablePrinter(
        resource,
        columns=lambda: source.columns if isinstance(source, TableListerWatcher) else (),
        marked=marked,
        namespaced=resource.namespaced and question.selection.all_namespaces,
        wide=question.form is Form.WIDE,
        color=color,
    )
    return DiffPrinter(table, show_secrets=secrets, color=color) if question.diff else table


def print_all(printer: Printer, objects: Iterable[KubeObject]) -> None:
    """Print objects in the order of their keys."""
    write(printer.lines([Change("", obj) for obj in sorted(objects, key=lambda obj: obj.key)]))


def say_nothing_found(resource: Resource, namespace: str | None) -> None:
    """Say on standard error that there are no objects."""
    complain(f"no {resource.qualified} found" + (f" in namespace {namespace}; -A looks in all" if namespace else ""))


_ABOUT_DATA: Final = re.compile(r"data\b")


def hint_at_secrets(question: Question, resource: Resource, objects: Sequence[KubeObject]) -> None:
    """Say once that values of Secrets are hidden, where a template asks for nothing else."""
    asked = question.form is Form.JSONPATH and _ABOUT_DATA.search(question.template)
    if asked and not question.show_secrets and any(map(is_secret, objects)):
        complain(f"values of {resource.qualified} are hidden; --show-secrets shows them")


def _json_path(template: str) -> JsonPath:
    from kinformer.cli._jsonpath import JsonPath, JsonPathError

    try:
        return JsonPath(template)
    except JsonPathError as error:
        raise UsageProblem(str(error)) from error
