"""The terms of a scope (namespaces, labels, fields), and its parts: the lists and watches that cover it. Pure.

A scope is a union of terms. A term whose namespaces are known is watched by one part per namespace. A term with a glob
or with labels of namespaces is watched by one part per namespace that matches at the moment.
"""

from __future__ import annotations

import fnmatch
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinformer.labels import Requirement

__all__ = ["ALL_FIELDS", "ALL_LABELS", "NamespaceRule", "ScopePart", "ScopeTerm", "parts_of", "simplified"]

ALL_LABELS: Final = LabelSelector()
ALL_FIELDS: Final = FieldSelector()


@dataclass(frozen=True, slots=True)
class NamespaceRule:
    """The namespaces that a term covers. All of its conditions must hold.

    Attributes:
        name: the only namespace; "" for any.
        globs: patterns that the name must match, as in `fnmatch`: "team-*".
        labels: labels that the Namespace object must have.
        widen_at: number of namespaces from which on one watch of the whole cluster may take the place of theirs; 0 for
            never.
    """

    name: str = ""
    globs: tuple[str, ...] = ()
    labels: LabelSelector = ALL_LABELS
    widen_at: int = 0

    @property
    def is_live(self) -> bool:
        """True if the covered namespaces are known only from a watch of the Namespace objects."""
        return bool(self.globs or self.labels)

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a namespace of this name and these labels is covered."""
        return (
            (not self.name or name == self.name)
            and all(fnmatch.fnmatchcase(name, glob) for glob in self.globs)
            and self.labels.matches(labels)
        )

    def meets(self, other: NamespaceRule) -> NamespaceRule | None:
        """Return the rule of the namespaces that both cover; `None` if no namespace can be one."""
        if self.name and other.name and self.name != other.name:
            return None
        name = self.name or other.name
        globs = tuple(sorted({*self.globs, *other.globs}))
        widen_at = max(self.widen_at, other.widen_at)
        if name:
            # The name decides about each pattern now, so that nothing needs to be followed.
            if not all(fnmatch.fnmatchcase(name, glob) for glob in globs):
                return None
            globs = ()
        return NamespaceRule(name, globs, _both_labels(self.labels, other.labels), widen_at)

    def is_within(self, other: NamespaceRule) -> bool:
        """Return whether the other rule covers all namespaces of this one, as far as the rules show."""
        if other.name and self.name != other.name:
            return False
        matched = all(
            glob in self.globs or (self.name and fnmatch.fnmatchcase(self.name, glob)) for glob in other.globs
        )
        return bool(matched) and _implies(self.labels, other.labels)

    def __str__(self) -> str:
        """Return the rule in words: "in shop", "in namespaces team-* labelled tenant=x"; "" for all namespaces."""
        if self.name and not self.labels:
            return f"in {self.name}"
        if not self.is_live:
            return ""
        where = ["in namespaces", *([self.name] if self.name else self.globs)]
        return " ".join([*where, "labelled", str(self.labels)] if self.labels else where)


_ANYWHERE: Final = NamespaceRule()


@dataclass(frozen=True, slots=True)
class ScopeTerm:
    """Objects in some namespaces with some labels and fields.

    Attributes:
        namespaces: which namespaces.
        labels: labels that the objects must have.
        fields: fields that the objects must have.
    """

    namespaces: NamespaceRule = _ANYWHERE
    labels: LabelSelector = ALL_LABELS
    fields: FieldSelector = ALL_FIELDS

    def meets(self, other: ScopeTerm) -> ScopeTerm | None:
        """Return the term of the objects that both cover; `None` if no namespace can be one of both."""
        namespaces = self.namespaces.meets(other.namespaces)
        if namespaces is None:
            return None
        fields = tuple(sorted({*self.fields.requirements, *other.fields.requirements}))
        return ScopeTerm(namespaces, _both_labels(self.labels, other.labels), FieldSelector(fields))

    def is_within(self, other: ScopeTerm) -> bool:
        """Return whether the other term covers all objects of this one, as far as the selectors show."""
        return (
            self.namespaces.is_within(other.namespaces)
            and _implies(self.labels, other.labels)
            and {*other.fields.requirements} <= {*self.fields.requirements}
        )

    def __str__(self) -> str:
        """Return the term in words: "in shop (app=db)"; "" for everything."""
        which = "; ".join(str(selector) for selector in (self.labels, self.fields) if selector)
        return " ".join(filter(None, (str(self.namespaces), f"({which})" if which else "")))


@dataclass(frozen=True, slots=True)
class ScopePart:
    """One list and watch of a scope.

    Attributes:
        namespace: the namespace; "" for all.
        labels: the label selector.
        fields: the field selector.
        widen_at: see `NamespaceRule`; it does not count when parts are compared.
    """

    namespace: str = ""
    labels: LabelSelector = ALL_LABELS
    fields: FieldSelector = ALL_FIELDS
    widen_at: int = field(default=0, compare=False)

    def is_within(self, other: ScopePart) -> bool:
        """Return whether the other part covers all objects of this one, as far as the selectors show."""
        return (
            other.namespace in {"", self.namespace}
            and _implies(self.labels, other.labels)
            and {*other.fields.requirements} <= {*self.fields.requirements}
        )

    def __str__(self) -> str:
        """Return the part in words: "in shop (app=db)", "all namespaces"."""
        which = "; ".join(str(selector) for selector in (self.labels, self.fields) if selector)
        where = f"in {self.namespace}" if self.namespace else "all namespaces"
        return f"{where} ({which})" if which else where


def parts_of(terms: Iterable[ScopeTerm], namespaces: Mapping[str, Mapping[str, str]] | None) -> frozenset[ScopePart]:
    """Return the parts that cover a union of terms: none of them lies within another.

    Args:
        terms: the terms.
        namespaces: the labels of each existing namespace, by name; `None` while they are unknown. Terms that depend on
            them have no part then.
    """
    found: dict[ScopePart, None] = {}
    for term in terms:
        rule = term.namespaces
        if not rule.is_live:
            found[ScopePart(rule.name, term.labels, term.fields, rule.widen_at)] = None
        else:
            for name, labels in (namespaces or {}).items():
                if rule.matches(name, labels):
                    found[ScopePart(name, term.labels, term.fields, rule.widen_at)] = None
    by_namespace: dict[str, list[ScopePart]] = {}
    for part in found:
        by_namespace.setdefault(part.namespace, []).append(part)
    everywhere = by_namespace.get("", [])
    kept = []
    for part in found:
        others = by_namespace[part.namespace] if not part.namespace else [*by_namespace[part.namespace], *everywhere]
        if not any(_covers_more(other, part) for other in others):
            kept.append(part)
    return frozenset(kept)


def _covers_more(other: ScopePart, part: ScopePart) -> bool:
    # Of two parts that cover the same by different words, the first in the order of their texts stays.
    if other == part or not part.is_within(other):
        return False
    return not other.is_within(part) or str(other) < str(part)


def simplified(terms: Iterable[ScopeTerm]) -> tuple[ScopeTerm, ...]:
    """Return the terms in a fixed order, without those that lie within another one."""
    found = sorted(set(terms), key=_spelled)
    by_name: dict[str, list[ScopeTerm]] = {}
    for term in found:
        by_name.setdefault(term.namespaces.name, []).append(term)
    kept: list[ScopeTerm] = []
    for term in found:
        # Only a term of the same name, or of any name, can cover it.
        name = term.namespaces.name
        others = by_name[name] if not name else [*by_name[name], *by_name.get("", ())]
        within = any(
            term != other and term.is_within(other) and (not other.is_within(term) or _spelled(other) < _spelled(term))
            for other in others
        )
        if not within:
            kept.append(term)
    return tuple(kept)


def _spelled(term: ScopeTerm) -> tuple[str, ...]:
    rule = term.namespaces
    # Of two terms that differ in `widen_at` alone, the one with the lower number stays: 0 allows nothing.
    widen_at = f"{rule.widen_at:09}"
    return (rule.name, " ".join(rule.globs), str(rule.labels), str(term.labels), str(term.fields), widen_at)


def _both_labels(one: LabelSelector, other: LabelSelector) -> LabelSelector:
    return LabelSelector(tuple(sorted({*one.requirements, *other.requirements})))


@functools.lru_cache(maxsize=1024)
def _implies(narrow: LabelSelector, wide: LabelSelector) -> bool:
    """Return whether the wide selector selects all labels that the narrow one selects, as far as their texts show."""
    return all(any(_requires(had, wanted) for had in narrow.requirements) for wanted in wide.requirements)


def _requires(had: Requirement, wanted: Requirement) -> bool:
    """Return whether labels that fulfil one requirement fulfil the other."""
    if had == wanted:
        return True
    if had.key != wanted.key:
        return False
    if had.operator in {"=", "in"}:
        # The label has one of these values.
        return all(wanted.matches({had.key: value}) for value in had.values)
    if had.operator in {"!=", "notin"} and wanted.operator in {"!=", "notin"}:
        return {*wanted.values} <= {*had.values}
    return had.operator in {"exists", ">", "<"} and wanted.operator == "exists"
