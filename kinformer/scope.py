"""Scopes: which objects of a resource an informer, a list or a watch covers; and shards, one way to divide them.

    Namespaces("team-a", "team-b") | Namespaces(labels="tenant=x") | Namespaces(glob="dev-*") & Labels("app=db")

Scopes are values: they are compared by meaning, `|` makes the union of two, and `&` their intersection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypedDict

from kinformer._scope_terms import ALL_FIELDS, ALL_LABELS, NamespaceRule, ScopePart, ScopeTerm, parts_of, simplified
from kinformer._shards import Ranges, Shard, ShardBy, ShardLike, ranges_of
from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kinformer.labels import SelectorInput
    from kinformer.resources import Resource

__all__ = [
    "FieldSelectorInput",
    "Fields",
    "Labels",
    "Namespaces",
    "Ranges",
    "Scope",
    "ScopePart",
    "ScopeSettings",
    "ScopedResource",
    "SelectionSettings",
    "Shard",
    "ShardBy",
    "ShardLike",
    "checked_scope",
    "ranges_of",
    "scope_of_part",
]

FieldSelectorInput: TypeAlias = "str | Mapping[str, str] | FieldSelector | None"
"""A field selector as callers give it: "spec.nodeName=node-1", {"spec.nodeName": "node-1"}, or a parsed one."""


class SelectionSettings(TypedDict, total=False):
    """The keyword arguments that select objects of a resource.

    Attributes:
        namespace: the only namespace to cover, or several; `None` for all, or for the default of a factory.
        label_selector: only objects with such labels; the server selects.
        field_selector: only objects with such fields; the server selects.
        metadata_only: fetch only the metadata of objects (PartialObjectMetadata).
    """

    namespace: str | Sequence[str] | None
    label_selector: SelectorInput
    field_selector: FieldSelectorInput
    metadata_only: bool


class ScopeSettings(SelectionSettings, total=False):
    """The keyword arguments that name a scope, the same wherever a server selects.

    Reads of a cache (`Lister.list`, `list_response`, `event_response`) select here, by namespace and labels alone, and
    call the latter `selector`.

    Attributes:
        shard: only a share of the objects, if several programs divide the work.
    """

    shard: ShardLike | None


_NAMESPACE_GLOB: Final = re.compile(r"(?:[-a-z0-9*?]|\[!?[-a-z0-9]+\])+")
_NAMESPACE_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label, as the API server requires of the name of a namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a resource are covered: a union of terms.

    Make one with `Namespaces`, `Labels` and `Fields`, and combine them: `a | b` covers the objects of either, `a & b`
    the objects of both. Scopes are compared by meaning, as far as their selectors show: those of "a=1,b=2" and of
    "b==2,a=1" are equal, and a term that lies within another one does not count.

    Attributes:
        terms: the terms, in a fixed order; none for a scope that covers nothing.
        metadata_only: whether only the metadata of objects is fetched.
        shard: the share of the objects; `None` for all.
    """

    terms: tuple[ScopeTerm, ...] = (ScopeTerm(),)
    metadata_only: bool = False
    shard: ShardLike | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", simplified(self.terms))

    @classmethod
    def of(
        cls,
        *,
        namespace: str | Sequence[str] | None = None,
        label_selector: SelectorInput = None,
        field_selector: FieldSelectorInput = None,
        metadata_only: bool = False,
        shard: ShardLike | None = None,
    ) -> Self:
        """Return the scope that keyword arguments name; see `ScopeSettings`.

        Raises:
            SelectorError: a selector does not parse.
            ValueError: an empty list of namespaces.
        """
        if namespace is not None and not isinstance(namespace, str):
            names = _checked_names(tuple(namespace))
            if not names:
                msg = "namespace=[] names no namespace: name some, or None for all"
                raise ValueError(msg)
        else:
            names = (namespace or "",)
        labels, fields = LabelSelector.parse(label_selector), FieldSelector.parse(field_selector)
        return cls(
            terms=tuple(ScopeTerm(NamespaceRule(name), labels, fields) for name in names),
            metadata_only=metadata_only,
            shard=shard,
        )

    @classmethod
    def nothing(cls) -> Self:
        """Return the scope that covers no object: a start for `set_scope`."""
        return cls(terms=())

    @property
    def namespace(self) -> str:
        """The only namespace; "" if the scope covers several or all."""
        names = {term.namespaces.name for term in self.terms}
        return names.pop() if len(names) == 1 else ""

    @property
    def label_selector(self) -> LabelSelector:
        """The label selector of a scope of one term; the empty one if there are several."""
        return self.terms[0].labels if len(self.terms) == 1 else ALL_LABELS

    @property
    def field_selector(self) -> FieldSelector:
        """The field selector of a scope of one term; the empty one if there are several."""
        return self.terms[0].fields if len(self.terms) == 1 else ALL_FIELDS

    @property
    def is_live(self) -> bool:
        """True if the covered namespaces are known only from a watch of the Namespace objects."""
        return any(term.namespaces.is_live for term in self.terms)

    @property
    def is_single(self) -> bool:
        """True if one list and one watch cover it, now and always."""
        return len(self.terms) == 1 and not self.is_live

    @property
    def is_namespaced(self) -> bool:
        """True if it says anything about namespaces."""
        return any(term.namespaces != NamespaceRule() for term in self.terms)

    def parts(self, namespaces: Mapping[str, Mapping[str, str]] | None = None) -> frozenset[ScopePart]:
        """Return the lists and watches that cover the scope; none of them lies within another.

        Args:
            namespaces: the labels of each existing namespace, by name; needed by a scope that `is_live`.
        """
        if isinstance(self.shard, Ranges) and not self.shard:
            return frozenset()
        return parts_of(self.terms, namespaces)

    def __or__(self, other: Scope) -> Scope:
        """Return the union of two scopes.

        Raises:
            ValueError: one is of metadata only or of a shard, and the other is not.
        """
        if not isinstance(other, Scope):
            return NotImplemented
        if (self.metadata_only, self.shard) != (other.metadata_only, other.shard):
            msg = "scopes of one informer have metadata_only and shard in common: give both sides of | the same"
            raise ValueError(msg)
        return replace(self, terms=(*self.terms, *other.terms))

    def __and__(self, other: Scope) -> Scope:
        """Return the intersection of two scopes.

        Raises:
            ValueError: they are of two different shards, or of ranges by different fields.
        """
        if not isinstance(other, Scope):
            return NotImplemented
        met = [one.meets(two) for one in self.terms for two in other.terms]
        return Scope(
            terms=tuple(term for term in met if term is not None),
            metadata_only=self.metadata_only or other.metadata_only,
            shard=_met(self.shard, other.shard),
        )

    def sharded(self, shard: ShardLike | None) -> Scope:
        """Return the same scope with another share of the objects: `await informer.set_scope(scope.sharded(ranges))`.

        Args:
            shard: the share; `None` for all objects.
        """
        return self if shard == self.shard else replace(self, shard=shard)

    def __str__(self) -> str:
        """Return the scope in words, without its namespace if it has only one; "" if it leaves nothing out."""
        return self._in_words()

    def _in_words(self, most: int | None = None) -> str:
        """Return the scope in words, with so many letters of its terms at most: "in a or in b or 98 more"."""
        if not self.terms:
            parts = ["nothing"]
        elif self.is_single:
            parts = [_cut(str(selector), most) for selector in (self.label_selector, self.field_selector) if selector]
        else:
            parts = [_either([str(term) or "everything" for term in self.terms], most)]
        if self.metadata_only:
            parts.append("metadata only")
        if self.shard is not None:
            parts.append(self.shard.name)
        return "; ".join(parts)


def Namespaces(  # noqa: N802 - reads as a value
    *names: str, glob: str = "", labels: SelectorInput = None, widen_at: int = 0
) -> Scope:
    """Return the scope of some namespaces. All given conditions must hold; of the names, one.

        Namespaces("team-a", "team-b")
        Namespaces(glob="team-*")
        Namespaces(labels="tenant=x") & Labels("app=db")

    With `glob` or `labels` the namespaces are followed while they come, go and change their labels. That needs the
    right to list and watch namespaces (metadata only), and no right in the whole cluster otherwise.

    Args:
        names: names of namespaces.
        glob: a pattern of names, as in `fnmatch`; case counts.
        labels: labels of the Namespace objects.
        widen_at: from so many namespaces with the same selectors on, one watch of the whole cluster takes the place of
            their watches, if the server allows it; 0 for never. Each namespace still has its own list, and objects of
            other namespaces do not get into the cache. Below half of the number, each namespace has its own watch
            again. If several sides of `|` give a number, the largest counts.

    Raises:
        ValueError: nothing is given, a name cannot be one, no name can match the pattern, or `widen_at` is 1 or
            negative.
        SelectorError: the label selector does not parse.

    Examples:
        >>> pods = factory.informer("pods", scope=Namespaces("shop", "blog") | Namespaces(glob="team-*"))
    """
    if not names and not glob and not labels:
        msg = (
            "Namespaces() names nothing: give names, glob= or labels=; Scope() is all namespaces, Scope.nothing() none"
        )
        raise ValueError(msg)
    if type(widen_at) is not int or widen_at < 0 or widen_at == 1:
        msg = f"widen_at={widen_at!r}: give the number of namespaces, 2 or more, or 0 for never"
        raise ValueError(msg)
    rule = NamespaceRule("", (_checked_glob(glob),) if glob else (), LabelSelector.parse(labels), widen_at)
    found = [NamespaceRule(name).meets(rule) for name in _checked_names(names)] if names else [rule]
    return Scope(terms=tuple(ScopeTerm(one) for one in found if one is not None))


def Labels(selector: SelectorInput) -> Scope:  # noqa: N802 - reads as a value
    """Return the scope of the objects with some labels: `Labels("app=db")`. The server selects.

    Raises:
        SelectorError: the selector does not parse.
    """
    return Scope.of(label_selector=selector)


def Fields(selector: FieldSelectorInput) -> Scope:  # noqa: N802 - reads as a value
    """Return the scope of the objects with some fields: `Fields("spec.nodeName=node-1")`. The server selects.

    Raises:
        SelectorError: the selector does not parse.
    """
    return Scope.of(field_selector=selector)


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else f"{text[:most]}…"


def _either(words: Sequence[str], most: int | None) -> str:
    kept, letters = [_cut(words[0], most)], len(words[0])
    for each in words[1:]:
        letters += len(each)
        if most is not None and letters > most:
            break
        kept.append(each)
    left = len(words) - len(kept)
    return " or ".join([*kept, f"{left} more"] if left else kept)


def _met(one: ShardLike | None, other: ShardLike | None) -> ShardLike | None:
    """Return the share of the objects that are in both."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, Ranges) or isinstance(other, Ranges):
        return ranges_of(one) & ranges_of(other)
    msg = f"no scope is both {one.name} and {other.name}"
    raise ValueError(msg)


def _checked_names(names: Iterable[object]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        if isinstance(name, str) and _NAMESPACE_NAME.fullmatch(name):
            found.append(name)
            continue
        hint = ""
        if isinstance(name, str):
            hint = "; for a pattern use glob=" if set(name) & set("*?[") else ""
        elif isinstance(name, list | tuple | set | frozenset):
            hint = "; give several as Namespaces(*names)"
        msg = f"{name!r} cannot be the name of a namespace{hint}"
        raise ValueError(msg)
    return tuple(found)


def _checked_glob(glob: object) -> str:
    if isinstance(glob, str) and _NAMESPACE_GLOB.fullmatch(glob):
        return glob
    msg = f"glob={glob!r} matches no name of a namespace: a pattern has a-z, 0-9 and -, with *, ? and [...]"
    raise ValueError(msg)


def checked_scope(given: object) -> Scope:
    """Return a value that a caller has given as a scope.

    Raises:
        TypeError: it is not a `Scope`.
    """
    if isinstance(given, Scope):
        return given
    msg = f"{given!r} is no scope: give a Scope, such as Namespaces('team-a') or Labels('app=db')"
    raise TypeError(msg)


def scope_of_part(part: ScopePart, *, metadata_only: bool, shard: ShardLike | None) -> Scope:
    """Return the scope of the objects that one list and watch covers."""
    term = ScopeTerm(NamespaceRule(part.namespace), part.labels, part.fields)
    return Scope(terms=(term,), metadata_only=metadata_only, shard=shard)


_WHOLE: Final = Scope()

_MOST_LETTERS: Final = 80
"""Maximum number of letters of the terms of a scope in the name of an informer."""


@dataclass(frozen=True, slots=True)
class ScopedResource:
    """A resource within a scope: the objects that one informer covers. A factory makes one informer of each.

    Attributes:
        resource: the kind of objects.
        scope: the selection of them.

    Raises:
        ValueError: a namespace for a cluster-scoped resource.
    """

    resource: Resource
    scope: Scope = _WHOLE

    def __post_init__(self) -> None:
        if self.scope.is_namespaced and not self.resource.namespaced:
            given = f"namespace={self.scope.namespace!r}" if self.scope.namespace else "their namespaces"
            msg = f"{self.resource.qualified} are cluster-scoped; leave {given} out"
            raise ValueError(msg)

    def __str__(self) -> str:
        """Return the name of the informer: "pods.v1 in shop (app=web)".

        A long scope is cut, because names are in logs and metrics.
        """
        where = f" in {self.scope.namespace}" if self.scope.is_single and self.scope.namespace else ""
        words = self.scope._in_words(_MOST_LETTERS)
        return f"{self.resource.full_name}{where}{f' ({words})' if words else ''}"
