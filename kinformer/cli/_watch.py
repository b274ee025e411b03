"""`kinformer get` and `kinformer watch`: the objects of a resource, and what becomes of them."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import msgspec

from kinformer.cli._columns import columns_of, printable
from kinformer.cli._connect import connected
from kinformer.cli._session import EXIT_FAILURE, UsageProblem, complain, ending_with_reader, write
from kinformer.errors import (
    ApiError,
    ConfigError,
    ObjectError,
    SelectorError,
    StoppedError,
    TransportError,
)
from kinformer.events import Added, Deleted
from kinformer.informer import SharedInformer
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.cli._connect import Where
    from kinformer.client import Client
    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Form", "Question", "get", "watch"]

Mark: TypeAlias = Literal["", "ADDED", "MODIFIED", "DELETED"]

_COLORS: Final[dict[Mark, str]] = {"": "", "ADDED": "32", "MODIFIED": "36", "DELETED": "31"}
_HIDDEN: Final = "<redacted>"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_BATCH: Final = 500  # changes written at once at most


class Form(enum.StrEnum):
    """How objects are printed."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


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
        show_secrets: whether `json` shows the values in Secrets.

    Raises:
        UsageProblem: a selector does not parse, or two parts contradict each other.
    """

    resource: str
    name: str = ""
    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    field_selector: str = ""
    form: Form = Form.TABLE
    show_secrets: bool = False

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
        try:
            LabelSelector.parse(self.label_selector)
            FieldSelector.parse(self.field_selector)
        except SelectorError as error:
            raise UsageProblem(str(error)) from error


async def get(question: Question, where: Where) -> int:
    """Print the objects there are; returns the exit code."""
    async with connected(where) as client:
        resource, namespace = await _resolve(client, question)
        if question.name:
            objects: Sequence[KubeObject] = [await client.get(resource, question.name, namespace=namespace)]
        else:
            found = await client.list(
                resource,
                namespace=namespace,
                label_selector=question.label_selector,
                field_selector=question.field_selector,
            )
            objects = found.items
            for failure in found.failures:
                complain(f"left out: {failure}")
            if found.failures:
                _print_all(_printer(question, resource, marked=False), objects)
                return EXIT_FAILURE
    if not objects and question.form is Form.TABLE:
        _say_nothing_found(resource, namespace)
    _print_all(_printer(question, resource, marked=False), objects)
    return 0


async def watch(question: Question, where: Where) -> int:
    """Print the objects there are, then each change, for ever; returns when nobody reads any more."""
    async with connected(where) as client:
        resource, namespace = await _resolve(client, question)
        if not resource.watchable:
            raise UsageProblem(f"{resource.full_name} cannot be watched")
        fields = FieldSelector.parse({"metadata.name": question.name} if question.name else question.field_selector)
        source = client.list_watch(
            resource,
            namespace=namespace,
            label_selector=question.label_selector,
            field_selector=str(fields),
        )
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
                await _print_changes(informer, question, namespace, outage)
    return 0


async def _print_changes(informer: SharedInformer, question: Question, namespace: str | None, outage: _Outage) -> None:
    printer = _printer(question, informer.resource, marked=True)
    # What waits at this moment is what is in the cache; everything else comes after it.
    events = informer.events()
    there = [(await anext(events)).obj for _ in range(events.waiting)]
    if not there and question.form is Form.TABLE:
        _say_nothing_found(informer.resource, namespace)
    _print_all(printer, there)
    async for event in events:
        batch = [event]
        while events.waiting and len(batch) < _BATCH:
            batch.append(await anext(events))
        outage.look(informer)
        write(printer.lines([(_mark(event), event.obj) for event in batch]))


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


def _mark(event: Event) -> Mark:
    match event:
        case Added():
            return "ADDED"
        case Deleted():
            return "DELETED"
        case _:
            return "MODIFIED"


class _Printer(Protocol):
    def lines(self, objects: Sequence[tuple[Mark, KubeObject]]) -> str:
        """What to print of objects, each with what happened to it ("": it was there)."""
        ...


def _printer(question: Question, resource: Resource, *, marked: bool) -> _Printer:
    match question.form:
        case Form.JSON:
            return _JsonPrinter(marked=marked, show_secrets=question.show_secrets)
        case Form.NAME:
            return _NamePrinter()
        case _:
            return _TablePrinter(
                resource,
                marked=marked,
                namespaced=resource.namespaced and question.all_namespaces,
                color=_wants_color(),
            )


def _print_all(printer: _Printer, objects: Iterable[KubeObject]) -> None:
    in_order = sorted(objects, key=lambda obj: obj.key)
    if in_order:
        write(printer.lines([("", obj) for obj in in_order]))


def _wants_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _TablePrinter:
    """Columns below each other; they only become wider, for what was printed stays."""

    def __init__(self, resource: Resource, *, marked: bool, namespaced: bool, color: bool) -> None:
        self._columns = columns_of(resource)
        self._marked = marked
        self._namespaced = namespaced
        self._color = color
        self._widths: list[int] = []

    def lines(self, objects: Sequence[tuple[Mark, KubeObject]]) -> str:
        now = datetime.now(UTC)
        rows = [(mark, self._cells(mark, obj, now)) for mark, obj in objects]
        if not self._widths:
            rows.insert(0, ("", self._header()))
            self._widths = [0] * len(rows[0][1])
        for _, cells in rows:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        return "".join(f"{self._line(mark, cells)}\n" for mark, cells in rows)

    def _header(self) -> list[str]:
        return [
            *(["EVENT"] if self._marked else []),
            *(["NAMESPACE"] if self._namespaced else []),
            *(column.title for column in self._columns),
        ]

    def _cells(self, mark: Mark, obj: KubeObject, now: datetime) -> list[str]:
        return [
            *([mark or "-"] if self._marked else []),
            *([obj.namespace] if self._namespaced else []),
            *(printable(column.cell(obj, now)) for column in self._columns),
        ]

    def _line(self, mark: Mark, cells: list[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        if self._color and mark:
            padded[0] = f"\x1b[{_COLORS[mark]}m{padded[0]}\x1b[0m"
        return "   ".join(padded).rstrip()


class _JsonPrinter:
    """One JSON value per line: the object, or in a watch `{"type": ..., "object": ...}` as the API server has it."""

    def __init__(self, *, marked: bool, show_secrets: bool) -> None:
        self._marked = marked
        self._show_secrets = show_secrets

    def lines(self, objects: Sequence[tuple[Mark, KubeObject]]) -> str:
        return "".join(self._line(mark, obj) for mark, obj in objects)

    def _line(self, mark: Mark, obj: KubeObject) -> str:
        raw = obj.to_json()
        if obj.resource.plural == "secrets" and not obj.resource.group and not self._show_secrets:
            raw = msgspec.json.encode(_redacted(obj.to_dict()))
        elif b"\n" in raw:
            raw = msgspec.json.encode(obj.to_dict())
        text = raw.decode()
        return f'{{"type":"{mark or "ADDED"}","object":{text}}}\n' if self._marked else f"{text}\n"


def _redacted(secret: dict[str, Any]) -> dict[str, Any]:
    """A Secret without its values: also kubectl's copy of what was applied has them."""
    for part in ("data", "stringData"):
        if isinstance(secret.get(part), dict):
            secret[part] = dict.fromkeys(secret[part], _HIDDEN)
    annotations = secret.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
        annotations[_LAST_APPLIED] = _HIDDEN
    return secret


class _NamePrinter:
    """`pod/web-0`, `deployment.apps/web`, as kubectl has it."""

    def lines(self, objects: Sequence[tuple[Mark, KubeObject]]) -> str:
        return "".join(f"{_name(obj)}\n" for _, obj in objects)


def _name(obj: KubeObject) -> str:
    group = f".{obj.resource.group}" if obj.resource.group else ""
    return f"{obj.kind.lower()}{group}/{obj.name}"
