"""Containment of scopes is right for every object, conservative where it cannot know, and not needlessly so."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.client._cached.containment import contains, overlaps, selection_of
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, NODES, PODS
from kinformer.scope import Scope, Shard

EXAMPLES = int(os.environ.get("KINFORMER_CONTAINMENTS", "300"))

VALUES = ("", "a", "b", "3", "5", "7")
NAMESPACES = ("x", "y")
NAMES = ("n", "m")
PHASES = ("", "Running", "Failed")


@st.composite
def requirements(draw: st.DrawFn) -> str:
    key = draw(st.sampled_from("kl"))
    value = st.sampled_from(VALUES)
    match draw(st.sampled_from(["=", "!=", "in", "notin", "exists", "!", ">", "<"])):
        case "=" | "!=" as sign:
            return f"{key}{sign}{draw(value)}"
        case "in" | "notin" as word:
            return f"{key} {word} ({','.join(draw(st.lists(value, min_size=1, max_size=3)))})"
        case "exists":
            return key
        case "!":
            return f"!{key}"
        case sign:
            return f"{key}{sign}{draw(st.sampled_from(['3', '4', '5', '6']))}"


@st.composite
def field_requirements(draw: st.DrawFn) -> str:
    path, values = draw(
        st.sampled_from(
            [("metadata.name", NAMES), ("metadata.namespace", NAMESPACES), ("status.phase", PHASES)],
        )
    )
    return f"{path}{draw(st.sampled_from(['=', '!=']))}{draw(st.sampled_from(values))}"


shards = st.one_of(
    st.none(),
    st.builds(
        lambda of, index, by: Shard(index % of, of, by),
        st.integers(1, 4),
        st.integers(0, 3),
        st.sampled_from(["uid", "namespace"]),
    ),
)

scopes = st.builds(
    lambda namespace, labels, fields, metadata_only, shard: Scope.of(
        namespace=namespace,
        label_selector=",".join(labels),
        field_selector=",".join(fields),
        metadata_only=metadata_only,
        shard=shard,
    ),
    st.sampled_from(["", "", *NAMESPACES]),
    st.lists(requirements(), max_size=3),
    st.lists(field_requirements(), max_size=2),
    st.booleans(),
    shards,
)


def narrowed(scope: Scope, more: Scope) -> Scope:
    """A question that asks for less than the scope has, as a rule: of such pairs most are contained."""
    return Scope.of(
        namespace=scope.namespace or more.namespace,
        label_selector=LabelSelector(scope.label_selector.requirements + more.label_selector.requirements),
        field_selector=FieldSelector(scope.field_selector.requirements + more.field_selector.requirements),
        metadata_only=scope.metadata_only or more.metadata_only,
        shard=scope.shard or more.shard,
    )


pairs = st.one_of(st.tuples(scopes, scopes), st.tuples(scopes, scopes).map(lambda two: (two[0], narrowed(*two))))

objects = st.builds(
    lambda namespace, name, uid, labels, phase: {
        "metadata": {"name": name, "namespace": namespace, "uid": f"u{uid}", "labels": labels},
        "status": {"phase": phase} if phase else {},
    },
    st.sampled_from(NAMESPACES),
    st.sampled_from(NAMES),
    st.integers(0, 20),
    st.dictionaries(st.sampled_from("kl"), st.sampled_from(VALUES)),
    st.sampled_from(PHASES),
)


def in_scope(scope: Scope, obj: KubeObject) -> bool:
    """Report whether the server selects an object, in the plainest way."""
    fields = {
        "metadata.name": obj.name,
        "metadata.namespace": obj.namespace,
        "status.phase": obj.at("status.phase", ""),
    }
    return (
        scope.namespace in {"", obj.namespace}
        and all(requirement.matches(obj.labels) for requirement in scope.label_selector.requirements)
        and all((fields[path] == value) is (sign == "=") for path, sign, value in scope.field_selector.requirements)
        and (scope.shard is None or scope.shard.has(obj))
    )


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(pairs, st.lists(objects, min_size=5, max_size=40))
def test_a_cache_that_contains_a_question_selects_what_the_server_would(
    pair: tuple[Scope, Scope], manifests: list[dict[str, Any]]
) -> None:
    scope, question = pair
    there = [KubeObject.from_dict(manifest, PODS) for manifest in manifests]
    asked = [obj for obj in there if in_scope(question, obj)]
    if not overlaps(scope, question) and not (scope.metadata_only and not question.metadata_only):
        assert not [obj for obj in asked if in_scope(scope, obj)]
    if not contains(scope, question):
        return
    assert all(in_scope(scope, obj) for obj in asked)
    assert question.metadata_only or not scope.metadata_only
    selection = selection_of(PODS, scope, question)
    if selection is None:
        return
    cached = [obj for obj in there if in_scope(scope, obj)]
    found = [
        obj
        for obj in selection.of(cached)
        if selection.labels.matches(obj.labels) and selection.namespace in {"", obj.namespace}
    ]
    assert found == asked
    assert [obj for obj in cached if selection.keeps(obj) and selection.namespace in {"", obj.namespace}] == asked


def scope_of(text: str) -> Scope:
    """ "ns: x; labels: a=1; fields: b=2" as a scope."""
    parts = dict(part.strip().split(":", 1) for part in text.split(";") if part.strip())
    return Scope.of(
        namespace=parts.get("ns", "").strip() or None,
        label_selector=parts.get("labels", "").strip(),
        field_selector=parts.get("fields", "").strip(),
        metadata_only="metadata" in parts,
    )


@pytest.mark.parametrize(
    ("scope", "question"),
    [
        ("", ""),
        ("", "ns: x"),
        ("", "labels: app=db"),
        ("", "fields: metadata.name=a"),
        ("ns: x", "ns: x; labels: app=db"),
        ("ns: x", "fields: metadata.namespace=x"),
        ("fields: metadata.namespace=x", "ns: x"),
        ("fields: metadata.name=a", "ns: x; fields: metadata.name=a"),
        ("fields: status.phase!=Failed", "fields: status.phase=Running"),
        ("fields: spec.nodeName=n", "ns: x; fields: spec.nodeName=n"),
        ("labels: app", "labels: app=db"),
        ("labels: app", "labels: app in (db,web)"),
        ("labels: app", "labels: app>3"),
        ("labels: app in (db,web)", "labels: app=db"),
        ("labels: app in (db,web)", "labels: app in (db,web,cache),app!=cache"),
        ("labels: app!=db", "labels: app=web"),
        ("labels: app!=db", "labels: app notin (db,web)"),
        ("labels: app!=db", "labels: !app"),
        ("labels: app!=db", "labels: app>3"),
        ("labels: !app", "labels: !app,tier=x"),
        ("labels: weight>3", "labels: weight>5"),
        ("labels: weight<9", "labels: weight in (1,2)"),
        ("labels: app=db", "labels: tier=x,app==db"),
        ("metadata:", "metadata:; ns: x"),
        ("", "metadata:"),
    ],
)
def test_a_scope_contains_a_narrower_question(scope: str, question: str) -> None:
    assert contains(scope_of(scope), scope_of(question))


@pytest.mark.parametrize(
    ("scope", "question"),
    [
        ("ns: x", ""),
        ("ns: x", "ns: y"),
        ("ns: x", "fields: metadata.name=a"),
        ("labels: app=db", ""),
        ("labels: app=db", "fields: metadata.name=a"),
        ("labels: app=db", "labels: app"),
        ("labels: app=db", "labels: app in (db,web)"),
        ("labels: app!=db", "labels: app"),
        ("labels: app", "labels: app!=db"),
        ("labels: app notin (a,b)", "labels: app!=a"),
        ("labels: weight>5", "labels: weight>3"),
        ("labels: weight>5", "labels: weight"),
        ("fields: status.phase=Running", "fields: status.phase!=Failed"),
        ("metadata:", ""),
        ("fields: metadata.name=a", "fields: metadata.name=a,metadata.name=b"),
    ],
)
def test_a_scope_does_not_contain_a_wider_or_another_question(scope: str, question: str) -> None:
    assert not contains(scope_of(scope), scope_of(question))


def test_shards_contain_their_own_parts() -> None:
    half, quarter = Scope(shard=Shard(0, 2)), Scope(shard=Shard(1, 4))
    assert contains(half, quarter)
    assert contains(Scope(), half)
    assert not contains(quarter, half)
    assert not contains(half, Scope())
    assert not contains(half, Scope(shard=Shard(0, 2, by="namespace")))
    whole_namespaces = [Scope(shard=Shard(index, 3, by="namespace")) for index in range(3)]
    assert [contains(shard, Scope.of(namespace="x")) for shard in whole_namespaces].count(True) == 1


def test_fields_that_only_the_server_can_compare_are_left_to_it() -> None:
    question = Scope.of(field_selector=FieldSelector.parse("spec.hostNetwork=true"))
    assert contains(Scope(), question)
    assert selection_of(PODS, Scope(), question) is None
    assert selection_of(PODS, question, question) is not None
    name = Scope.of(field_selector=FieldSelector.parse("spec.nodeName=n"))
    assert selection_of(PODS, Scope(), name) is not None
    assert selection_of(CONFIGMAPS, Scope(), name) is None
    assert (
        selection_of(PODS, Scope(metadata_only=True), Scope.of(metadata_only=True, field_selector=name.field_selector))
        is None
    )
    assert selection_of(NODES, Scope(), Scope.of(field_selector=FieldSelector.parse("metadata.namespace=x"))) is None


def test_a_scope_of_another_kind_contains_nothing() -> None:
    class Wider(Scope):
        """A scope whose meaning is not known here."""

    assert not contains(Wider(), Scope())
    assert not overlaps(Wider(), Scope())
    assert contains(Scope.of(label_selector=LabelSelector()), Scope())
