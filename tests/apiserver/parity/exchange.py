"""Sends requests to a server, drops the random parts of its answers, and compares two sets of answers."""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import aiohttp

    from tests.apiserver.parity.requests import Request

__all__ = ["RELEASES", "Answer", "Comparison", "ask", "compared", "read_record", "write_record"]

RELEASES: Final = ("1.36", "1.37")
"""The releases of Kubernetes whose answers are kept."""

Answer = list[Any]
"""The status, the normalised body, and the warnings."""

_UID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_IN_TEXTS: Final = (
    (_TIME, "<time>"),
    (_UID, "<uid>"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+\b(?!/)"), "<ip>"),
    (re.compile(r'(\\+"resourceVersion\\+":\\+")\d+'), r"\1<version>"),
)
# Of a run today and of a record of last year: the age of an object with a fixed time grows.
_AGE: Final = re.compile(r"(?=.)([0-9]+y)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?")
_RANDOM: Final = {"resourceVersion", "continue", "clusterIP", "token", "nodePort", "remainingItemCount"}
_CONTROLLERS: Final = {"kube-apiserver", "api-priority-and-fairness-config-consumer-v1"}
_CONTROLLED: Final = {"APIService", "CustomResourceDefinition", "FlowSchema"}
_LONGEST: Final = 4000


def normalised(value: Any, key: str = "") -> Any:
    """Return a value without what differs between two runs of one server."""
    if isinstance(value, dict):
        if value.get("kind") in _CONTROLLED and "spec" in value:
            # Controllers of the API server itself write the status, a moment later.
            value = {name: child for name, child in value.items() if name != "status"}
        return {name: normalised(child, name) for name, child in value.items()}
    if isinstance(value, list):
        if key == "managedFields":
            kept = [child for child in value if child.get("manager") not in _CONTROLLERS]
            return sorted((normalised(child) for child in kept), key=json.dumps)
        if key == "clusterIPs":
            return ["<ip>"]
        if key == "cells":
            # A definition is established a moment later; the table of no other kind ends with a truth value.
            known = [*value[:-1], "<established>"] if isinstance(value[-1], bool) else value
            return ["<age>" if isinstance(one, str) and _AGE.fullmatch(one) else normalised(one) for one in known]
        return [normalised(child) for child in value]
    if key in _RANDOM and value not in {None, "", 0, "None"}:
        return f"<{key}>"
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXTS:
            value = pattern.sub(replacement, value)
        return value
    return value


async def ask(http: aiohttp.ClientSession, requests: Sequence[Request]) -> dict[str, Answer]:
    """Send the requests one after the other; return the answers by title."""
    answers: dict[str, Answer] = {}
    for request in requests:
        headers = {"User-Agent": "parity/1", "Content-Type": request.content_type, **request.headers}
        data = request.body if request.body is None or isinstance(request.body, str) else json.dumps(request.body)
        raw = None if data is None else data.encode()
        async with http.request(request.method, request.path, data=raw, headers=headers) as response:
            content = await response.read()
            warnings = sorted(one.removeprefix("299 - ") for one in response.headers.getall("Warning", []))
        try:
            body = normalised(json.loads(content))
        except ValueError:
            body = content[:_LONGEST].decode(errors="replace")
        assert request.title not in answers, request.title
        answers[request.title] = [response.status, body, warnings]
    return answers


def _record(release: str) -> Path:
    return DATA / f"parity-{release}.json.xz"


def write_record(answers: dict[str, Answer], release: str) -> None:
    """Keep the answers of a real server."""
    _record(release).write_bytes(lzma.compress(json.dumps(answers, separators=(",", ":")).encode(), preset=9))


def read_record(release: str) -> dict[str, Answer]:
    """Return the answers of a release that are kept."""
    answers: dict[str, Answer] = json.loads(lzma.decompress(_record(release).read_bytes()))
    return answers


@dataclass
class Comparison:
    """The agreement of two servers.

    Attributes:
        same: the titles of the requests whose answers are the same.
        other_codes: the titles of those with another status.
        other_bodies: the titles of those with the same status, and another body or other warnings.
        taken: the titles of those that only the embedded server takes.
    """

    same: list[str] = field(default_factory=list)
    other_codes: list[str] = field(default_factory=list)
    other_bodies: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


def compared(real: dict[str, Answer], embedded: dict[str, Answer]) -> Comparison:
    """Compare the answers of a real server with those of the embedded one."""
    result = Comparison()
    for title, theirs in real.items():
        ours = embedded[title]
        if theirs[0] != ours[0]:
            result.other_codes.append(title)
            if ours[0] < 300 <= theirs[0]:
                result.taken.append(title)
        elif theirs[1:] != ours[1:]:
            result.other_bodies.append(title)
        else:
            result.same.append(title)
    return result


def differences(theirs: Any, ours: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return the places where two values differ, each with both values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            yield from differences(theirs.get(name, "<absent>"), ours.get(name, "<absent>"), f"{at}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, f"{at}[{index}]")
    elif theirs != ours or type(theirs) is not type(ours):
        yield at, theirs, ours
