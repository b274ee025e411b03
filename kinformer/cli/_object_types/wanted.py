"""The fields that `--fields` names: paths such as `spec.containers.image`, through lists and into parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Wanted"]

_PATH: Final = re.compile(r"[^.\[\]\s]+(\.[^.\[\]\s]+)*")
_INDEX: Final = re.compile(r"\[[^\]]*\]")


@dataclass(slots=True)
class Wanted:
    """The wanted fields of a class; a tree.

    Attributes:
        whole: whether all fields are wanted.
        fields: the wanted fields, each with those of its own class.
    """

    whole: bool = False
    fields: dict[str, Wanted] = field(default_factory=dict)

    @classmethod
    def parse(cls, paths: Sequence[str]) -> Wanted:
        """Return the tree of paths; no path means all fields.

        Raises:
            UsageProblem: one of them is no path.
        """
        if not paths:
            return cls(whole=True)
        root = cls()
        for path in paths:
            plain = _INDEX.sub("", path.strip()).removeprefix(".")
            if not _PATH.fullmatch(plain):
                msg = f"--fields: {path!r} is no path; write it as in spec.containers.image"
                raise UsageProblem(msg)
            node = root
            for step in plain.split("."):
                node = node.fields.setdefault(step, cls())
            node.whole = True
        return root

    def of(self, name: str) -> Wanted | None:
        """Return the wanted fields of the class of a field; `None` if the field is not wanted."""
        return self if self.whole else self.fields.get(name)

    def add(self, other: Wanted) -> bool:
        """Add the wishes of another tree; return whether anything is new."""
        new = other.whole and not self.whole
        self.whole |= other.whole
        for name, below in other.fields.items():
            if name in self.fields:
                new |= self.fields[name].add(below)
            else:
                self.fields[name] = Wanted()
                self.fields[name].add(below)
                new = True
        return new
