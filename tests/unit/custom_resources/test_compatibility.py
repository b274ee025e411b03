"""incompatibilities: without a report, all that was valid stays valid and whole; each narrowing is reported."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinformer.custom_resources import crd, custom_resource, incompatibilities
from kinformer.testing._apiserver.rules.custom_resource_pruning import pruned
from kinformer.testing._apiserver.rules.schema_values import check_schema
from tests.unit.custom_resources.generated import FORMS, SPECS, made, root_of, samples

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    form = draw(st.sampled_from(FORMS))
    kind = root_of(made(draw(SPECS), form), form)
    return crd(custom_resource(group="example.com", version="v1", kind="Thing")(kind))


def spec_of(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def places(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema and all those inside of it."""
    inner = [*schema.get("properties", {}).values()]
    inner += [below for name in ("items", "additionalProperties") if isinstance(below := schema.get(name), dict)]
    return [schema, *(place for each in inner for place in places(each))]


def change(draw: st.DrawFn, schema: dict[str, Any]) -> None:
    """Change one thing of a schema at random: to something wider, narrower or just different."""
    place = draw(st.sampled_from(places(schema)))
    properties = place.get("properties", {})
    match draw(st.integers(0, 9)):
        case 0 if properties:
            properties.pop(draw(st.sampled_from(sorted(properties))))
            place["required"] = [name for name in place.get("required", []) if name in properties]
        case 1 if properties:
            properties["extra"] = draw(st.sampled_from([{"type": "string"}, {"type": "integer", "default": 1}]))
            place["required"] = [*place.get("required", []), *draw(st.sampled_from([[], ["extra"]]))]
        case 2:
            place.pop(
                draw(st.sampled_from(["minimum", "maximum", "enum", "pattern", "nullable", "maxLength", "format"])),
                None,
            )
        case 3:
            place[draw(st.sampled_from(["minLength", "maxItems", "minProperties"]))] = draw(st.integers(0, 4))
        case 4 if place.get("type") in {"integer", "number"}:
            place[draw(st.sampled_from(["minimum", "maximum", "multipleOf"]))] = draw(st.integers(1, 30))
        case 5 if place.get("type") == "integer":
            place["type"], _ = "number", place.pop("format", None)
        case 6 if place.get("type") in {"integer", "string"} and "enum" not in place:
            for name in ("type", "format"):
                place.pop(name, None)
            place["x-kubernetes-int-or-string"] = True
        case 7:
            kept = {name: place[name] for name in ("nullable", "default") if name in place}
            place.clear()
            place |= kept | draw(st.sampled_from([{"type": "string"}, {"x-kubernetes-preserve-unknown-fields": True}]))
        case 8 if "enum" in place:
            place["enum"] = place["enum"][1:] or [*place["enum"], 77]
        case _:
            place["required"] = place.get("required", [])[1:]


@QUIET
@given(definitions(), st.data())
def test_a_change_that_is_not_reported_keeps_each_valid_object_valid_and_whole(
    old: dict[str, Any], data: st.DataObject
) -> None:
    new = copy.deepcopy(old)
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.composite(lambda draw: change(draw, spec_of(new)))())
    if incompatibilities(old, new):
        return
    before, after = spec_of(old), spec_of(new)
    for _ in range(4):
        stored = pruned(data.draw(samples(before)), before)
        if not check_schema(stored, before, "spec"):
            lost: list[str] = []
            read = pruned(stored, after, "", lost)
            assert lost == []
            assert check_schema(read, after, "spec") == []


@QUIET
@given(definitions())
def test_nothing_is_reported_between_a_definition_and_itself(old: dict[str, Any]) -> None:
    assert incompatibilities(old, copy.deepcopy(old), stored_versions=["v1"]) == []


def defined(spec: dict[str, Any], **version: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", **spec}}}
    given = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}} | version
    names = {"plural": "things", "kind": "Thing"}
    return {"spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [given]}}


def field(**schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}}


INT, TEXT = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (field(**INT), {}, "v1: spec.a: the field is gone"),
        (field(**INT), field(**TEXT), "v1: spec.a: the type changed from integer to string"),
        (field(type="number"), field(**INT), "the type changed from number to integer"),
        (field(**INT), field(**INT) | {"required": ["a"]}, "v1: spec.a: the field is required"),
        (field(**INT, nullable=True), field(**INT), "null is not allowed any more"),
        (field(**INT, minimum=1), field(**INT, minimum=2), "minimum is 2, and was 1"),
        (field(**INT, minimum=1), field(**INT, minimum=1, exclusiveMinimum=True), "minimum is 1 (excluded)"),
        (field(**TEXT), field(**TEXT, maxLength=3), "maxLength is 3, and was None"),
        (field(**TEXT), field(**TEXT, pattern="a"), "pattern is new"),
        (field(**TEXT), field(**TEXT, format="date"), "the format date is new"),
        (field(**INT), field(**INT, format="int32"), "the format int32 is new"),
        (field(**TEXT), field(**TEXT, enum=["a"]), "only some values"),
        (field(**TEXT, enum=["a", "b"]), field(**TEXT, enum=["b", "c"]), "the values 'a' are not allowed"),
        (field(**INT), field(**INT, multipleOf=2), "a multiple of 2"),
        (
            field(**INT),
            field(**INT, **{"x-kubernetes-validations": [{"rule": "self > 0"}]}),
            "the rule 'self > 0' is new",
        ),
        (
            field(type="array", items=INT),
            field(type="array", items=INT, **{"x-kubernetes-list-type": "set"}),
            "x-kubernetes-list-type changed from atomic to set",
        ),
        ({"x-kubernetes-preserve-unknown-fields": True}, {}, "v1: spec: unknown fields are not kept"),
        ({"additionalProperties": INT}, {"additionalProperties": TEXT}, "v1: spec.*: the type changed"),
        (field(type="array", items=INT), field(type="array", items=TEXT), "v1: spec.a[]: the type changed"),
    ],
)
def test_each_narrowing_is_reported_with_its_place(old: dict[str, Any], new: dict[str, Any], reason: str) -> None:
    (found,) = incompatibilities(defined(old), defined(new))
    assert reason in str(found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (field(**INT), field(type="number")),
        (field(**INT), field(**{"x-kubernetes-int-or-string": True})),
        (field(**INT), field(**{"x-kubernetes-preserve-unknown-fields": True})),
        (field(**INT), field(**INT, format="int64")),
        (field(**INT, format="int32"), field(**INT, format="int64")),
        (field(type="number"), field(type="number", format="double")),
        (field(**INT, minimum=2), field(**INT, minimum=1)),
        (field(**TEXT, enum=["a"]), field(**TEXT, enum=["a", "b"])),
        (field(**INT), field(**INT, default=1) | {"required": ["a"]}),
        (field(**INT) | {"required": ["a"]}, field(**INT)),
        (field(**INT), {"properties": {"a": INT, "b": TEXT}}),
        (field(**INT), {"x-kubernetes-preserve-unknown-fields": True}),
        (field(**INT, multipleOf=4), field(**INT, multipleOf=2)),
    ],
)
def test_a_widening_is_not_reported(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert incompatibilities(defined(old), defined(new)) == []


def reasons(old: dict[str, Any], new: dict[str, Any], **options: Any) -> str:
    return "\n".join(map(str, incompatibilities(old, new, **options)))


def test_a_version_that_is_stored_may_not_go_nor_one_that_is_served() -> None:
    old, new = defined({}), defined({}, name="v2")
    assert "v1: the version is gone, and objects may be stored in it" in reasons(old, new, stored_versions=["v1"])
    assert "v1: the version is gone, and it was served" in reasons(old, new)
    old["status"] = {"storedVersions": ["v1alpha1"]}
    assert "v1alpha1: the version is gone, and objects may be stored in it" in reasons(old, defined({}))
    assert reasons(defined({}, served=False), new) == ""
    assert "not served any more" in reasons(defined({}), defined({}, served=False))


def test_a_subresource_may_not_go_and_a_status_not_become_one() -> None:
    with_both = defined({}, subresources={"status": {}, "scale": {}})
    assert "the subresource scale is gone" in reasons(with_both, defined({}, subresources={"status": {}}))
    assert "becomes a subresource" in reasons(defined({}), with_both)


def test_another_scope_or_kind_is_another_crd() -> None:
    new = defined({})
    new["spec"]["scope"], new["spec"]["names"]["kind"] = "Cluster", "Other"
    found = reasons(defined({}), new)
    assert "scope: changed from Namespaced to Cluster" in found
    assert "names.kind: changed from Thing to Other" in found


def test_a_field_that_selectors_cannot_name_any_more_is_reported() -> None:
    def definition(*paths: str) -> dict[str, Any]:
        @custom_resource(group="example.com", version="v1", kind="Gate", selectable_fields=paths)
        class Gate(msgspec.Struct):
            spec: dict[str, str]
            tier: str = ""
            size: int = 0

        return crd(Gate)

    assert not incompatibilities(definition(".tier"), definition(".size", ".tier"))
    (found,) = incompatibilities(definition(".tier", ".size"), definition(".tier"))
    assert str(found) == "v1: selectors cannot name the field .size any more"
