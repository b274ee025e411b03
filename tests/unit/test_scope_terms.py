"""The algebra of scopes, and the parts that they are watched by."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.errors import SelectorError
from kinformer.resources import NODES, PODS
from kinformer.scope import Fields, Labels, Namespaces, Scope, ScopedResource, ScopePart, Shard

CLUSTER = {
    "team-a": {"tenant": "x"},
    "team-b": {"tenant": "y"},
    "other": {"tenant": "x", "app": "db"},
    "bare": {},
}

BASIC = (
    Namespaces("team-a"),
    Namespaces("team-a", "team-b"),
    Namespaces("bare"),
    Namespaces(glob="team-*"),
    Namespaces(labels="tenant=x"),
    Namespaces("team-a", labels="tenant"),
    Labels("app=db"),
    Labels("app in (db,web)"),
    Labels("app!=db"),
    Labels("app"),
    Labels("!app"),
    Fields("a=1"),
    Scope(),
    Scope.nothing(),
)

scopes: st.SearchStrategy[Scope] = st.recursive(
    st.sampled_from(BASIC),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
    ),
    max_leaves=5,
)
objects = st.tuples(
    st.sampled_from([*CLUSTER]),
    st.fixed_dictionaries({}, optional={"app": st.sampled_from(["db", "web", "x"]), "tier": st.just("1")}),
    st.sampled_from(["1", "2"]),
)


def part_has(part: ScopePart, obj: tuple[str, dict[str, str], str]) -> bool:
    place, labels, field = obj
    return (
        part.namespace in {"", place}
        and part.labels.matches(labels)
        and all(path == "a" and value == field for path, _, value in part.fields.requirements)
    )


def has(scope: Scope, obj: tuple[str, dict[str, str], str]) -> bool:
    return any(part_has(part, obj) for part in scope.parts(CLUSTER))


def same(one: Scope, other: Scope) -> bool:
    return one == other and hash(one) == hash(other)


@settings(max_examples=300, deadline=None)
@given(scopes, scopes, objects)
def test_or_covers_what_either_covers_and_and_what_both_cover(one: Scope, other: Scope, obj: Any) -> None:
    assert has(one | other, obj) is (has(one, obj) or has(other, obj))
    assert has(one & other, obj) is (has(one, obj) and has(other, obj))


@settings(max_examples=300, deadline=None)
@given(scopes, scopes, scopes)
def test_the_order_and_the_repetition_of_terms_do_not_matter(one: Scope, two: Scope, three: Scope) -> None:
    assert same(one | two, two | one)
    assert same(one | (two | three), (one | two) | three)
    assert same(one | one, one)
    assert same(one & two, two & one)
    assert same(one & one, one)
    assert same(one | Scope.nothing(), one)
    assert same(one & Scope(), one)
    assert same(one | Scope(), Scope())


@settings(max_examples=300, deadline=None)
@given(scopes)
def test_no_part_lies_within_another(scope: Scope) -> None:
    parts = scope.parts(CLUSTER)
    assert not [(one, two) for one in parts for two in parts if one != two and one.is_within(two)]


def test_selectors_that_cover_each_other_share_a_watch() -> None:
    assert Labels("app=db") | Labels("app in (db,web)") == Labels("app in (db,web)")
    assert Labels("app=db") | Labels("app") == Labels("app")
    assert Labels("app=db,tier=1") | Labels("app=db") == Labels("app=db")
    assert Labels("app=db") | Labels("app!=web") == Labels("app!=web")
    assert Namespaces("team-a") | Namespaces(glob="team-*") == Namespaces(glob="team-*")
    assert (Namespaces("a") & Labels("app=db")) | Namespaces("a") == Namespaces("a")
    live = Namespaces("team-a") | Namespaces(labels="tenant=x")
    assert live.parts(CLUSTER) == {ScopePart("team-a"), ScopePart("other")}
    assert (live | Labels("app=db")).parts({"team-a": {}}) == {
        ScopePart("team-a"),
        ScopePart(labels=Labels("app=db").label_selector),
    }


def test_the_keyword_arguments_are_the_short_form() -> None:
    assert Scope.of(namespace="a") == Namespaces("a")
    assert Scope.of(namespace=["b", "a", "a"]) == Namespaces("a", "b")
    assert Scope.of(namespace=["a", "b"], label_selector="x=1") == Namespaces("a", "b") & Labels("x=1")
    assert Scope.of() == Scope()


def test_names_with_a_glob_need_no_watch_of_namespaces() -> None:
    assert Namespaces("team-a", "other", glob="team-*") == Namespaces("team-a")
    assert not (Namespaces("team-a") & Namespaces(glob="team-*")).is_live
    assert Namespaces("team-a", labels="tenant=x").is_live
    assert Namespaces("a") & Namespaces("b") == Scope.nothing()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (Namespaces, ValueError, "names nothing: give names"),
        (lambda: Namespaces("team-*"), ValueError, "use glob="),
        (lambda: Namespaces(glob="team-["), ValueError, "a pattern has"),
        (lambda: Namespaces(glob="Team-*"), ValueError, "a pattern has"),
        (lambda: Namespaces(glob=5), ValueError, "a pattern has"),  # type: ignore[arg-type]
        (lambda: Namespaces(cast("str", ["a", "b"])), ValueError, r"Namespaces\(\*names\)"),
        (lambda: Namespaces("a", cast("str", None)), ValueError, "None cannot be the name"),
        (lambda: Namespaces(""), ValueError, "cannot be the name"),
        (lambda: Scope.of(namespace=[]), ValueError, "names no namespace"),
        (lambda: Labels("a in ("), SelectorError, "label selector"),
        (lambda: Fields("nonsense"), SelectorError, "field selector"),
        (lambda: Scope(metadata_only=True) | Scope(), ValueError, "metadata_only"),
        (lambda: Scope(shard=Shard(0, 2)) & Scope(shard=Shard(1, 2)), ValueError, "both shard"),
        (lambda: ScopedResource(NODES, Namespaces("a", "b")), ValueError, "cluster-scoped"),
        (lambda: ScopedResource(NODES, Namespaces("a")), ValueError, "namespace='a'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_a_scope_says_what_it_is() -> None:
    assert str(ScopedResource(PODS, Namespaces("a") | Namespaces("b") & Labels("app=db"))) == (
        "pods.v1 (in a or in b (app=db))"
    )
    assert str(ScopedResource(PODS, Scope.nothing())) == "pods.v1 (nothing)"
    assert str(ScopedResource(PODS, Namespaces("a") & Labels("app=db"))) == "pods.v1 in a (app=db)"
    many = ScopedResource(PODS, Namespaces(*(f"team-{number:03}" for number in range(100))))
    assert str(many) == (
        "pods.v1 (in team-000 or in team-001 or in team-002 or in team-003 or in team-004 or in team-005"
        " or in team-006 or 93 more)"
    )
    assert str(many.scope).count(" or ") == 99
    long = ScopedResource(PODS, Labels(f"app in ({','.join(f'app-{number}' for number in range(100))})"))
    assert len(str(long)) < 100
    words = str(Namespaces(glob="t-*", labels="tenant=x") | Namespaces("a", labels="tenant=x"))
    assert words == "in namespaces t-* labelled tenant=x or in namespaces a labelled tenant=x"
    assert str(ScopePart()) == "all namespaces"
