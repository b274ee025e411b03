"""The query of `kinformer get` and `kinformer watch`: the objects to print, and the form."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer._display.secrets import is_secret
from kinformer.cli._printers import (
    Change,
    DiffPrinter,
    JsonListPrinter,
    JsonPathPrinter,
    JsonPrinter,
    NamePrinter,
    TablePrinter,
    YamlPrinter,
    wants_color,
)
from kinformer.cli._selection import Selection
from kinformer.cli._session import UsageProblem, print_error, write
from kinformer.client import TableListerWatcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.cli._jsonpath import JsonPath
    from kinformer.cli._printers import Printer
    from kinformer.client import Client, HttpListerWatcher
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Form", "Query", "hint_at_secrets", "print_all", "printer_of", "say_nothing_found", "source_of"]


class Form(enum.StrEnum):
    """A form in which objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    JSON_LINES = "jsonl"
    NAME = "name"
    JSONPATH = "jsonpath"

    @property
    def is_table(self) -> bool:
        """Return whether the form has columns."""
        return self in {Form.TABLE, Form.WIDE}


@dataclass(frozen=True, slots=True)
class Query:
    """The objects to print, and the form.

    Attributes:
        resource: a name as in kubectl; "pods/web-0" names one object.
        name: only the object of that name.
        selection: the namespace and the selectors.
        form: the form to print them in.
        template: the template of the form jsonpath.
        show_secrets: whether the values of Secrets are shown.
        diff: whether a table shows the differences below each modification.

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
            raise UsageProblem(f"{self.name!r} names the object, so a selector has nothing to select; leave it out")
        if self.diff and self.form is not Form.TABLE:
            raise UsageProblem(f"--diff goes with the table; leave -o {self.form} out")
        if self.form is Form.JSONPATH:
            _json_path(self.template)


def source_of(client: Client, query: Query, resource: Resource, namespace: str | None) -> HttpListerWatcher:
    """Return the source of the objects: rows of a table if only rows are shown, otherwise whole objects."""
    from kinformer.labels import FieldSelector

    selection = query.selection
    fields = FieldSelector.parse({"metadata.name": query.name} if query.name else selection.field_selector)
    if query.form.is_table and not query.diff:
        return client.table_watch(
            resource, namespace=namespace, label_selector=selection.label_selector, field_selector=str(fields)
        )
    return client.list_watch(
        resource,
        namespace=namespace,
        label_selector=selection.label_selector,
        field_selector=str(fields),
        metadata_only=query.form is Form.NAME,
    )


def printer_of(query: Query, resource: Resource, source: HttpListerWatcher, *, marked: bool) -> Printer:
    """Return the printer for the form; with `marked` it names the change of each object."""
    secrets = query.show_secrets
    match query.form:
        case Form.JSON if not marked:
            return JsonListPrinter(as_list=not query.name, show_secrets=secrets)
        case Form.JSON | Form.JSON_LINES:
            return JsonPrinter(marked=marked, show_secrets=secrets)
        case Form.YAML:
            return YamlPrinter(marked=marked, show_secrets=secrets)
        case Form.NAME:
            return NamePrinter()
        case Form.JSONPATH:
            as_list = not marked and not query.name
            return JsonPathPrinter(_json_path(query.template), as_list=as_list, show_secrets=secrets)
    color = wants_color()
    table = TablePrinter(
        resource,
        columns=lambda: source.columns if isinstance(source, TableListerWatcher) else (),
        marked=marked,
        namespaced=resource.namespaced and query.selection.all_namespaces,
        wide=query.form is Form.WIDE,
        color=color,
    )
    return DiffPrinter(table, show_secrets=secrets, color=color) if query.diff else table


def print_all(printer: Printer, objects: Iterable[KubeObject]) -> None:
    """Print objects in the order of their keys."""
    write(printer.lines([Change("", obj) for obj in sorted(objects, key=lambda obj: obj.key)]))


def say_nothing_found(resource: Resource, namespace: str | None) -> None:
    """Report on standard error that there are no objects."""
    print_error(f"no {resource.qualified} found" + (f" in namespace {namespace}; -A looks in all" if namespace else ""))


_ABOUT_DATA: Final = re.compile(r"data\b")


def hint_at_secrets(query: Query, resource: Resource, objects: Sequence[KubeObject]) -> None:
    """Report that values of Secrets are hidden, if a template asks for them."""
    asked = query.form is Form.JSONPATH and _ABOUT_DATA.search(query.template)
    if asked and not query.show_secrets and any(map(is_secret, objects)):
        print_error(f"values of {resource.qualified} are hidden; --show-secrets shows them")


def _json_path(template: str) -> JsonPath:
    from kinformer.cli._jsonpath import JsonPath, JsonPathError

    try:
        return JsonPath(template)
    except JsonPathError as error:
        raise UsageProblem(str(error)) from error
