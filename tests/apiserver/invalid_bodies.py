"""Bodies with one change each, made from whole objects, and what a kube-apiserver says to them.

`tests/data/whole-objects.yaml` has the objects, and `tests/data/invalid-bodies-1.36.json.xz` the answers.

python -m tests.apiserver.invalid_bodies      # asks a real kube-apiserver, and writes the answers
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import lzma
import re
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
import yaml

from kinformer.testing._apiserver.schemas.go_types import Types
from tests.apiserver.body_changes import GONE, changed
from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.schemas.go_types import Field, Struct

__all__ = ["KEPT", "Case", "answers", "cases", "titles"]

WHOLE: Final = DATA / "whole-objects.yaml"
KEPT: Final = DATA / "invalid-bodies-1.36.json.xz"

_MOST: Final = 40
"""The cases of one object."""

_LONG: Final = "a" * 300
_TEXTS: Final = (
    "",
    "Bad Value!",
    _LONG,
    "-x",
    "UPPER",
    "a_b",
    "a.b",
    "../x",
    "/abs",
    " x",
    "a/b/c",
    "x\ny",
    "é",
    "*",
    "1",
)
_NUMBERS: Final = (-1, 0, 1, 70_000, 2**31 - 1, -(2**31))
_QUANTITIES: Final = ("-1", "0", "1m")
_SHARES: Final = (-1, 0, 70_000, "150%", "-5%", "x", "Bad Value!", "")
_KEYS: Final = ("", "Bad Key!", _LONG, "a/b/c", "UPPER/x", "a" * 64, "-a")
_UNTOUCHED: Final = {"kind", "apiVersion", "status", "metadata"}


def _owner(**fields: Any) -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": "D", "name": "x", "uid": "u"} | fields]


_METADATA: Final[tuple[tuple[str, Any], ...]] = (
    *(("name", name) for name in ("Bad_Name", "", "a" * 254, "a" * 64, "a..b", "a/b", "..", "a%b")),
    *(("labels", labels) for labels in ({"a b": "c"}, {"a": "c d"}, {"a": "x" * 64}, {"X.io/": "c"})),
    *(("annotations", notes) for notes in ({"a b": "c"}, {"a/b/c": "c"}, {"UP.io/x": "c"})),
    *(("finalizers", given) for given in (["Bad Value!"], ["orphan", "foregroundDeletion"], [_LONG])),
    *(("ownerReferences", _owner(**{field: ""})) for field in ("apiVersion", "kind", "name", "uid")),
    *(("ownerReferences", _owner(apiVersion=version)) for version in ("a/b/c", "apps/")),
    ("ownerReferences", _owner(apiVersion="v1", kind="Event")),
    ("generateName", "Bad!"),
)


class Case(NamedTuple):
    """One body that is sent, and not kept.

    Attributes:
        title: its name, by which answers are compared.
        of: the name of the object that it is made from.
        path: the path of the collection.
        body: the body.
    """

    title: str
    of: str
    path: str
    body: dict[str, Any]


@cache
def cases() -> tuple[Case, ...]:
    """Return the cases, always the same ones."""
    return tuple(case for whole in _wholes() for case in _of_object(whole))


def titles() -> list[str]:
    """Return the names of the whole objects."""
    return sorted({_title(whole) for whole in _wholes()})


@cache
def _wholes() -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wholes: list[dict[str, Any]] = yaml.load(WHOLE.read_text(), loader)
    return wholes


def _title(whole: dict[str, Any]) -> str:
    body = whole["body"]
    return " ".join((body["apiVersion"], body["kind"], whole.get("title", ""))).rstrip()


def _of_object(whole: dict[str, Any]) -> Iterator[Case]:
    body, path, of = whole["body"], whole["path"], _title(whole)
    struct = Types.of().kind(body["apiVersion"], body["kind"])
    assert struct is not None
    yield Case(f"{of}: as it is", of, path, body)
    changes = [*_changes(struct, body, ()), *((("metadata", name), value) for name, value in _METADATA)]
    # One of each class is enough: the same field in another item of a list is the same class.
    by_class: dict[str, tuple[tuple[Any, ...], Any]] = {}
    for where, value in sorted(changes, key=lambda change: _rank(of, *change)):
        kind = "gone" if value is GONE else type(value).__name__
        by_class.setdefault(f"{re.sub('[0-9]+', '', _shown(where))} {kind} {value == ''}", (where, value))
    chosen = sorted(by_class.values(), key=lambda change: _rank(of, *change))
    for where, value in chosen[:_MOST]:
        shown = "gone" if value is GONE else json.dumps(value)
        yield Case(f"{of}: {_shown(where)} {shown}", of, path, changed(body, where, value))


def _shown(where: tuple[Any, ...]) -> str:
    return ".".join(map(str, where))


def _rank(of: str, where: tuple[Any, ...], value: Any) -> str:
    return hashlib.sha256(f"{of} {where} {'' if value is GONE else value!r}".encode()).hexdigest()


Change = tuple[tuple[Any, ...], Any]


def _changes(struct: Struct, value: dict[str, Any], at: tuple[Any, ...]) -> Iterator[Change]:
    for name, field in struct.by_name.items():
        if at or name not in _UNTOUCHED:
            where = (*at, name)
            if name in value:
                yield where, GONE
            yield from _of_field(field, value, where)


def _of_field(field: Field, parent: dict[str, Any], where: tuple[Any, ...]) -> Iterator[Change]:
    target, given = field.type.target, parent.get(where[-1])
    below = target.struct
    if below is not None and below.custom:
        yield from ((where, one) for one in _of_custom(below.key))
    elif below is not None:
        yield where, {}
        if isinstance(given, dict):
            yield from _changes(below, given, where)
    elif target.form == "slice":
        yield from _of_list(target.element.target, given, where)
    elif target.form == "map":
        yield from _of_map(given, where)
    else:
        yield from ((where, one) for one in _of_scalar(target.form) if one != given)
        yield from ((where, one) for one in field.enum if one != given)


def _of_custom(key: str) -> Iterable[Any]:
    return _QUANTITIES if "Quantity" in key else _SHARES if "IntOrString" in key else ()


def _of_scalar(form: str) -> Iterable[Any]:
    return {"string": _TEXTS, "int": _NUMBERS, "bool": (True, False)}.get(form, ())


def _of_list(element: Any, given: Any, where: tuple[Any, ...]) -> Iterator[Change]:
    is_struct = element.struct is not None and not element.struct.custom
    if not given:
        yield where, [{}] if is_struct else [-1] if element.form == "int" else ["Bad Value!"]
        return
    yield where, []
    yield where, [*given, deepcopy(given[0])]
    for index, item in enumerate(given):
        if is_struct:
            yield from _changes(element.struct, item, (*where, index))
        elif index == 0:
            yield from (((*where, 0), one) for one in _of_scalar(element.form))


def _of_map(given: Any, where: tuple[Any, ...]) -> Iterator[Change]:
    if not isinstance(given, dict) or not given:
        yield where, {"Bad Key!": "Bad Value!"}
        return
    first, value = next(iter(given.items()))
    yield from ((where, {**given, key: value}) for key in _KEYS)
    if isinstance(value, str):
        yield from ((where, {**given, first: text}) for text in ("Bad Value!", "-1", "", "x" * 64))


def answers() -> dict[str, list[Any]]:
    """Return the code and the fields of the causes that a real server gave, by title."""
    kept: dict[str, list[Any]] = json.loads(lzma.decompress(KEPT.read_bytes()))
    return kept


async def _ask(http: aiohttp.ClientSession) -> dict[str, list[Any]]:
    async with http.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "default"}}):
        pass
    found: dict[str, list[Any]] = {}
    for case in cases():
        try:
            async with http.post(f"{case.path}?dryRun=All", json=case.body) as response:
                code, answer = response.status, await response.json(content_type=None)
        except aiohttp.ServerDisconnectedError:
            # A job with indexes and a success policy, but no completions, makes its handler panic.
            code, answer = 500, {}
        causes = (answer.get("details") or {}).get("causes") or []
        found[case.title] = [code, sorted({cause["field"] for cause in causes if "field" in cause})]
    return found


async def _record() -> None:
    async with real_server() as (_, http):
        found = await _ask(http)
    KEPT.write_bytes(lzma.compress(json.dumps(found, separators=(",", ":")).encode(), preset=9))


if __name__ == "__main__":
    asyncio.run(_record())
