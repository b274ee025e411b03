"""`kinformer get` and `kinformer watch`: the objects of a resource, and what becomes of them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer._display.secrets import is_secret
from kinformer.cli._connect import connected
from kinformer.cli._jsonpath import JsonPath, JsonPathError
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
from kinformer.cli._session import EXIT_FAILURE, UsageProblem, complain, ending_with_reader, write
from kinformer.client import TableListerWatcher
from kinformer.errors import (
    ApiError,
    ConfigError,
    ObjectError,
    SelectorError,
    StoppedError,
    TransportError,
)
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.cli._connect import Where
    from kinformer.cli._printers import Printer
    from kinformer.client import Client, HttpListerWatcher
    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Form", "Question", "get", "watch"]

_BATCH: Final = 500  # changes written at once at most
_PAGE: Final = 500  # objects asked for at a time


class Form(enum.StrEnum):
    """How objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"
    JSONPATH = "jsonpath"

    @property
    def is_table(self) -> bool:
        """Whether it has columns."""
        return self in {Form.TABLE, Form.WIDE}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Attributes:
        resource: as kubectl names it; "pods/web-0" names one object, too.
        name: only the object of that name.
        namespace: by default that of the context.
        all_namespaces: whichever they are in.
        label_selector: as kubectl takes it.
        field_selector: as kubectl takes it.
        form: how to print it.
        template: of the form jsonpath.
        show_secrets: whether the values of Secrets are shown.
        diff: whether a table says below each modification what changed.

    Raises:
        UsageProblem: a selector or a template does not parse, or two parts contradict each other.
    """

    resource: str
    name: str = ""
    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    field_selector: str = ""
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
        if self.namespace and self.all_namespaces:
            raise UsageProblem("-n names one namespace and -A means all of them; give one")
        if self.name and self.all_namespaces:
            raise UsageProblem(f"{self.name!r} is an object in one namespace; leave -A out")
        if self.name and (self.label_selector or self.field_selector):
            raise UsageProblem(f"{self.name!r} names the object, so there is nothing to select; leave the selector out")
        if self.diff and self.form is not Form.TABLE:
            raise UsageProblem(f"--diff goes with the table; leave -o {self.form} out")
        try:
            LabelSelector.parse(self.label_selector)
            FieldSelector.parse(self.field_selector)
            if self.form is Form.JSONPATH:
                JsonPath(self.template)
        except (SelectorError, JsonPathError) as error:
            raise UsageProblem(str(error)) from error


async def get(question: Question, where: Where) -> int:
    """Print the objects there are; returns the exit code."""
    async with connected(where) as client:
        resource, namespace = await _resolve(client, question)
        source = _source(client, question, resource, namespace)
        objects: list[KubeObject] = []
        failures: list[ObjectError] = []
        async for page in source.list(limit=_PAGE):
            objects += page.items
            failures += page.failures
        if question.name and not objects and not failures:
            # The server says best what is not there.
            objects = [await client.get(resource, question.name, namespace=namespace)]
        for failure in failures:
            complain(f"left out: {failure}")
        if not (objects or failures) and question.form is not Form.JSONPATH:
            _say_nothing_found(resource, namespace)
            return 0
        printer = _printer(question, resource, source, marked=False)
        _print_all(printer, objects)
        _hint_at_secrets(question, resource, objects)
        return EXIT_FAILURE if failures else 0


async def watch(question: Question, where: Where) -> int:
    """Print the objects there are, then each change, for ever; returns when nobody reads any more."""
    async with connected(where) as client:
        resource, namespace = await _resolve(client, question)
        if not resource.watchable:
            raise UsageProblem(f"{resource.full_name} cannot be watched")
        source = _source(client, question, resource, namespace)
        outage = _Outage(resource)
        informer = SharedInformer(source, namespace=namespace or "", on_error=outage.failed)
        async with informer:
            with ending_with_reader(informer.request_stop):
                try:
                    await informer.synced()
                except StoppedError:
                    if outage.fatal is not None:
                        raise outage.fatal from None
                    return 0
                await _print_changes(informer, question, source, namespace, outage)
    return 0


async def _print_changes(
    informer: SharedInformer, question: Question, source: HttpListerWatcher, namespace: str | None, outage: _Outage
) -> None:
    printer = _printer(question, informer.resource, source, marked=True)
    # What waits at this moment is what is in the cache; everything else comes after it.
    events = informer.events()
    there = [(await anext(events)).obj for _ in range(events.waiting)]
    if not there and question.form.is_table:
        _say_nothing_found(informer.resource, namespace)
    _print_all(printer, there)
    _hint_at_secrets(question, informer.resource, there)
    async for event in events:
        batch = [event]
        while events.waiting and len(batch) < _BATCH:
            batch.append(await anext(events))
        outage.look(informer)
        write(printer.lines([_change(event) for event in batch]))


def _source(client: Client, question: Question, resource: Resource, namespace: str | None) -> HttpListerWatcher:
    """Where the objects come from: rows where rows are all that is shown, whole objects elsewhere."""
    fields = FieldSelector.parse({"metadata.name": question.name} if question.name else question.field_selector)
    if question.form.is_table and not question.diff:
        return client.table_watch(
            resource, namespace=namespace, label_selector=question.label_selector, field_selector=str(fields)
        )
    return client.list_watch(
        resource,
        namespace=namespace,
        label_selector=question.label_selector,
        field_selector=str(fields),
        metadata_only=question.form is Form.NAME,
    )


async def _resolve(client: Client, question: Question) -> tuple[Resource, str | None]:
    resource = await client.resolve(question.resource)
    if not resource.namespaced:
        if question.namespace:
            raise UsageProblem(f"{resource.qualified} are cluster-scoped; leave -n {question.namespace} out")
        return resource, None
    if question.all_namespaces:
        return resource, None
    return resource, question.namespace or client.config.namespace


def _say_nothing_found(resource: Resource, namespace: str | None) -> None:
    complain(f"no {resource.qualified} found" + (f" in namespace {namespace}; -A looks in all" if namespace else ""))


class _Outage:
    """Tells of failures, each streak of them once; before there was anything to show, a refusal is final."""

    def __init__(self, resource: Resource) -> None:
        self.fatal: KinformerError | None = None
        self._resource = resource
        self._going_on = False

    def failed(self, error: KinformerError, informer: SharedInformer) -> None:
        if isinstance(error, ObjectError):
            complain(f"left out: {error}")
        elif not informer.has_synced and isinstance(error, ApiError | TransportError | ConfigError):
            self.fatal = error
            informer.request_stop()
        elif not self._going_on:
            self._going_on = True
            complain(f"{error}; trying again")

    def look(self, informer: SharedInformer) -> None:
        if self._going_on and informer.status.state is InformerState.WATCHING:
            self._going_on = False
            complain(f"watching {self._resource.qualified} again")


def _change(event: Event) -> Change:
    match event:
        case Added(obj):
            return Change("ADDED", obj)
        case Deleted(obj):
            return Change("DELETED", obj)
        case Updated(old, new):
            return Change("MODIFIED", new, old)


def _printer(question: Question, resource: Resource, source: HttpListerWatcher, *, marked: bool) -> Printer:
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
            return JsonPathPrinter(JsonPath(question.template), as_list=as_list, show_secrets=secrets)
    color = wants_color()
    table = TablePrinter(
        resource,
        columns=lambda: source.columns if isinstance(source, TableListerWatcher) else (),
        marked=marked,
        namespaced=resource.namespaced and question.all_namespaces,
        wide=question.form is Form.WIDE,
        color=color,
    )
    return DiffPrinter(table, show_secrets=secrets, color=color) if question.diff else table


def _print_all(printer: Printer, objects: Iterable[KubeObject]) -> None:
    write(printer.lines([Change("", obj) for obj in sorted(objects, key=lambda obj: obj.key)]))


def _hint_at_secrets(question: Question, resource: Resource, objects: Sequence[KubeObject]) -> None:
    """Say once that values are hidden, where somebody asks for nothing else."""
    wanted = question.form is Form.JSONPATH and re.search(r"data\b", question.template)
    if wanted and not question.show_secrets and any(map(is_secret, objects)):
        complain(f"values of {resource.qualified} are hidden; --show-secrets shows them")
