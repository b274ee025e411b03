"""The query of `kinformer get` and `kinformer watch`: the objects to print, and the form."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer._display.secrets import is_secret
from kinformer.cli._client_imports import TableListerWatcher
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
from kinformer.cli._targets import Target, parse_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinformer.cli._custom_columns import CustomColumn
    from kinformer.cli._jsonpath import JsonPath
    from kinformer.cli._printers import Printer
    from kinformer.client import Client, HttpListerWatcher
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = [
    "Form",
    "Query",
    "Target",
    "hint_at_secrets",
    "parse_targets",
    "print_all",
    "printer_of",
    "say_nothing_found",
    "source_of",
]


class Form(enum.StrEnum):
    """A form in which objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    JSON_LINES = "jsonl"
    NAME = "name"
    JSONPATH = "jsonpath"
    CUSTOM_COLUMNS = "custom-columns"
    CUSTOM_COLUMNS_FILE = "custom-columns-file"

    @property
    def argument(self) -> str:
        """The name of the argument that the form takes behind `=`; "" if it takes none."""
        match self:
            case Form.JSONPATH:
                return "TEMPLATE"
            case Form.CUSTOM_COLUMNS:
                return "COLUMNS"
            case Form.CUSTOM_COLUMNS_FILE:
                return "FILE"
            case _:
                return ""

    @property
    def is_custom_table(self) -> bool:
        """Return whether the form has columns that the user gives."""
        return self in {Form.CUSTOM_COLUMNS, Form.CUSTOM_COLUMNS_FILE}

    @property
    def is_table(self) -> bool:
        """Return whether the form has the columns of the resource."""
        return self in {Form.TABLE, Form.WIDE}


@dataclass(frozen=True, slots=True)
class Query:
    """The objects to print, and the form.

    Attributes:
        targets: the resources, and the names of objects.
        selection: the namespace and the selectors.
        form: the form to print them in.
        template: the argument of the form: a template, columns, or the name of a file.
        sort_by: a path of kubectl's JSONPath to sort by; "" sorts by namespace and name.
        show_secrets: whether the values of Secrets are shown.
        diff: whether a table shows the differences below each modification.
        headed: whether a table has titles.
        label_columns: the keys of labels that get a column in a table.
        all_labels: whether a table has a column with all labels.

    Raises:
        UsageProblem: a template does not parse, or two parts contradict each other.
    """

    targets: tuple[Target, ...]
    selection: Selection = field(default_factory=Selection)
    form: Form = Form.TABLE
    template: str = ""
    sort_by: str = ""
    show_secrets: bool = False
    diff: bool = False
    headed: bool = True
    label_columns: tuple[str, ...] = ()
    all_labels: bool = False

    def __post_init__(self) -> None:
        if names := [name for target in self.targets for name in target.names]:
            named = f"{names[0]!r}"
            if self.selection.all_namespaces:
                raise UsageProblem(f"{named} is an object in one namespace; leave -A out")
            if self.selection.label_selector or self.selection.field_selector:
                raise UsageProblem(f"{named} names the object, so a selector has nothing to select; leave it out")
        if self.diff and self.form is not Form.TABLE:
            raise UsageProblem(f"--diff goes with the table; leave -o {self.form} out")
        if self.form is Form.JSONPATH:
            _json_path(self.template)
        if self.form.is_custom_table:
            _custom_columns(self)
        if self.sort_by:
            from kinformer.cli._sorting import check_sort_path

            check_sort_path(self.sort_by)

    @property
    def one_object(self) -> bool:
        """Return whether the query names exactly one object."""
        return sum(len(target.names) or 2 for target in self.targets) == 1


def source_of(
    client: Client, query: Query, resource: Resource, namespace: str | None, name: str = ""
) -> HttpListerWatcher:
    """Return the source of the objects: rows of a table if only rows are shown, otherwise whole objects.

    Args:
        client: the client of the server.
        query: the form of the output, and the selectors.
        resource: the resource to read.
        namespace: the namespace to read; `None` means all.
        name: only the object of this name.
    """
    from kinformer.labels import FieldSelector

    selection = query.selection
    fields = FieldSelector.parse({"metadata.name": name} if name else selection.field_selector)
    if query.form.is_table and not query.diff:
        return client.table_watch(
            resource,
            namespace=namespace,
            label_selector=selection.label_selector,
            field_selector=str(fields),
            whole_objects=bool(query.sort_by),
        )
    return client.list_watch(
        resource,
        namespace=namespace,
        label_selector=selection.label_selector,
        field_selector=str(fields),
        metadata_only=query.form is Form.NAME and not query.sort_by,
    )


def printer_of(
    query: Query,
    resource: Resource,
    source: HttpListerWatcher,
    *,
    marked: bool,
    with_kind: bool = False,
    context_of: Callable[[KubeObject], str] | None = None,
) -> Printer:
    """Return the printer for the form.

    Args:
        query: the form.
        resource: the resource of the rows of a table; the other forms print objects of any resource.
        source: the source of the objects: it knows the columns of the table.
        marked: whether to name the change of each object.
        with_kind: whether a table names objects as `pod/web-0`.
        context_of: returns the context of an object, for a table with a column of contexts.
    """
    secrets = query.show_secrets
    match query.form:
        case Form.JSON if not marked:
            return JsonListPrinter(as_list=not query.one_object, show_secrets=secrets)
        case Form.JSON | Form.JSON_LINES:
            return JsonPrinter(marked=marked, show_secrets=secrets)
        case Form.YAML:
            return YamlPrinter(marked=marked, show_secrets=secrets)
        case Form.NAME:
            return NamePrinter()
        case Form.JSONPATH:
            as_list = not marked and not query.one_object
            return JsonPathPrinter(_json_path(query.template), as_list=as_list, show_secrets=secrets)
        case Form.CUSTOM_COLUMNS | Form.CUSTOM_COLUMNS_FILE:
            from kinformer.cli._custom_columns import CustomColumnsPrinter

            return CustomColumnsPrinter(_custom_columns(query), headed=query.headed, show_secrets=secrets)
    color = wants_color()
    table = TablePrinter(
        resource,
        columns=lambda: source.columns if isinstance(source, TableListerWatcher) else (),
        marked=marked,
        namespaced=resource.namespaced and query.selection.all_namespaces,
        wide=query.form is Form.WIDE,
        color=color,
        with_kind=with_kind,
        context_of=context_of,
        headed=query.headed,
        label_columns=query.label_columns,
        all_labels=query.all_labels,
    )
    return DiffPrinter(table, show_secrets=secrets, color=color) if query.diff else table


def print_all(printer: Printer, objects: Iterable[KubeObject]) -> None:
    """Print objects in the order that they have."""
    write(printer.lines([Change("", obj) for obj in objects]))


def say_nothing_found(resources: Sequence[Resource], namespace: str | None) -> None:
    """Report on standard error that there are no objects."""
    names = " or ".join(resource.qualified for resource in resources)
    print_error(f"no {names} found" + (f" in namespace {namespace}; -A looks in all" if namespace else ""))


_ABOUT_DATA: Final = re.compile(r"data\b")


def hint_at_secrets(query: Query, objects: Sequence[KubeObject]) -> None:
    """Report that values of Secrets are hidden, if a template asks for them."""
    asked = query.form in {Form.JSONPATH, Form.CUSTOM_COLUMNS} and _ABOUT_DATA.search(query.template)
    if asked and not query.show_secrets and any(map(is_secret, objects)):
        print_error("values of secrets are hidden; --show-secrets shows them")


def _custom_columns(query: Query) -> tuple[CustomColumn, ...]:
    from kinformer.cli._custom_columns import columns_in_file, columns_of_text

    return (columns_of_text if query.form is Form.CUSTOM_COLUMNS else columns_in_file)(query.template)


def _json_path(template: str) -> JsonPath:
    from kinformer.cli._jsonpath import JsonPath, JsonPathError

    try:
        return JsonPath(template)
    except JsonPathError as error:
        raise UsageProblem(str(error)) from error
