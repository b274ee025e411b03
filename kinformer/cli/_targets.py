"""The resources and names of a command line, as kubectl takes them.

`pods`, `pods,svc`, `pod web-0 web-1`, `pods,svc web`, `pod/web-0 svc/web`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Target", "parse_targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, and the names of objects.

    Attributes:
        resource: the name of the resource, as kubectl takes it.
        names: only the objects of these names; empty for all objects.
    """

    resource: str
    names: tuple[str, ...] = ()


def parse_targets(words: Sequence[str]) -> tuple[Target, ...]:
    """Return the targets in the order of the words, each resource once.

    Raises:
        UsageProblem: the words are not RESOURCE[,RESOURCE]... [NAME]... or RESOURCE/NAME..., or one of them is empty.
    """
    if any("/" in word for word in words):
        return _by_resource([_pair(word) for word in words])
    first, *names = words
    resources = first.split(",")
    if not all(resources):
        raise UsageProblem(f"{first!r} is not RESOURCE or RESOURCE,RESOURCE")
    if not all(names):
        raise UsageProblem("a name is empty")
    return tuple(Target(resource, tuple(dict.fromkeys(names))) for resource in dict.fromkeys(resources))


def _pair(word: str) -> tuple[str, str]:
    resource, slash, name = word.partition("/")
    if not slash:
        raise UsageProblem(f"{word!r} has no slash, but another word has one; write each as RESOURCE/NAME")
    if not resource or not name or "/" in name or "," in word:
        raise UsageProblem(f"{word!r} is not RESOURCE/NAME")
    return resource, name


def _by_resource(pairs: list[tuple[str, str]]) -> tuple[Target, ...]:
    names: dict[str, dict[str, None]] = {}
    for resource, name in pairs:
        names.setdefault(resource, {})[name] = None
    return tuple(Target(resource, tuple(found)) for resource, found in names.items())
