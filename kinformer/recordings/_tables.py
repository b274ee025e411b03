"""Tables (meta/v1 Table) of recorded objects: what `kubectl get` prints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from kinformer._any_json import decode_any
from kinformer.proxy._bodies import Refusal
from kinformer.testing import Refusal as ServerRefusal
from kinformer.testing._apiserver.http.tables import to_table
from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Tables", "recorded_time"]

Lines: TypeAlias = Callable[[bytes], bytes]

_encode: Final = msgspec.json.Encoder().encode
_COLUMN_TEXTS: Final = ("name", "type", "jsonPath")


class Tables:
    """Makes tables with the columns of Kubernetes, and for custom resources with those of their definitions.

    Args:
        definitions: returns the recorded CustomResourceDefinitions.
        now: returns the recorded time, for ages.
    """

    def __init__(self, definitions: Callable[[], Iterable[KubeObject]], now: Callable[[], datetime]) -> None:
        self._definitions = definitions
        self._now = now
        self._catalog = Catalog()

    def table(
        self, resource: Resource, manifests: list[dict[str, Any]], metadata: dict[str, Any], include: str
    ) -> dict[str, Any]:
        """Return a table of objects.

        Args:
            resource: their resource.
            manifests: the objects.
            metadata: the metadata of the list.
            include: the part of its object that each row has: "Metadata" (also for ""), "Object" or "None".

        Raises:
            Refusal: 400, there is no such part.
        """
        whole = [manifest | {"kind": resource.kind, "apiVersion": resource.api_version} for manifest in manifests]
        kind, now = self._kind(resource), self._now()
        try:
            table = to_table(kind, [], metadata, now=now, include=include)
        except ServerRefusal as refusal:
            raise Refusal(400, "BadRequest", str(refusal)) from None
        plain = _plain(resource, {})
        for manifest in whole:
            try:
                row = to_table(kind, [manifest], {}, now=now, include=include)["rows"][0]
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError):
                # A redacted value, or one of another server, need not have the form that a column expects.
                known = {name: manifest[name] for name in ("kind", "apiVersion", "metadata")}
                row = to_table(plain, [known], {}, now=now, include=include)["rows"][0]
                unknown = ["<unknown>"] * (len(table["columnDefinitions"]) - 1)
                row["cells"] = [row["cells"][0], *unknown]
            table["rows"].append(row)
        return table

    def lines(self, resource: Resource, include: str) -> Lines:
        """Return a function that turns the lines of one watch into lines with tables.

        The first table names the columns.
        """
        first = True

        def shaped(lines: bytes) -> bytes:
            nonlocal first
            made = []
            for line in lines.splitlines():
                event = decode_any(line)
                if event["type"] != "ERROR":
                    metadata = {"resourceVersion": event["object"]["metadata"].get("resourceVersion", "")}
                    table = self.table(resource, [event["object"]], metadata, include)
                    event["object"] = table if first else table | {"columnDefinitions": None}
                    first = False
                made.append(_encode(event) + b"\n")
            return b"".join(made)

        return shaped

    def _kind(self, resource: Resource) -> ResourceType:
        known = self._catalog.lookup(resource.group, resource.version, resource.plural)
        if known is not None:
            return known
        name = f"{resource.plural}.{resource.group}"
        definition = next((one for one in self._definitions() if one.key.name == name), None)
        versions = definition.at("spec.versions", None) if definition is not None else None
        for version in versions if isinstance(versions, list) else ():
            if isinstance(version, dict) and version.get("name") == resource.version:
                return _plain(resource, {"additionalPrinterColumns": _columns(version)})
        return _plain(resource, {})


def recorded_time(started: str, seconds: float) -> datetime:
    """Return the time so many seconds after the start of a recording; the present time if the start is no time."""
    try:
        return datetime.fromisoformat(started).astimezone(UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return datetime.now(UTC)


def _plain(resource: Resource, definition: dict[str, Any]) -> ResourceType:
    """Return the type of a custom resource; without printer columns, its tables have names and ages."""
    return ResourceType(
        group=resource.group,
        version=resource.version,
        plural=resource.plural,
        singular=resource.plural,
        kind=resource.kind,
        namespaced=resource.namespaced,
        definition=definition,
    )


def _columns(version: dict[str, Any]) -> list[dict[str, Any]]:
    printed = version.get("additionalPrinterColumns")
    return [
        column
        for column in (printed if isinstance(printed, list) else ())
        if isinstance(column, dict) and all(isinstance(column.get(text), str) for text in _COLUMN_TEXTS)
    ]
