"""Selectors: the grammar of Kubernetes (apimachinery pkg/labels/selector.go, pkg/fields/selector.go)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.errors import SelectorError
from kinformer.labels import FieldSelector, LabelSelector, Requirement

WEB = {"app": "web", "tier": "front", "weight": "5"}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("app notin (web, db)", False),
        ("missing notin (web)", True),
        ("missing in (web)", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("weight>4", True),
        ("weight>5", False),
        ("weight<6", True),
        ("tier<6", False),
        ("missing>1", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        (" app = web , ! missing ", True),
        ("empty=", False),
    ],
)
def test_an_object_is_selected_as_by_kubernetes(selector: str, selected: bool) -> None:
    assert LabelSelector.parse(selector).matches(WEB) is selected


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        (",", "needs a label name"),
        ("app=web,", "ends where a label name is needed"),
        ("app=web tier=front", "needs a comma"),
        ("app in web", r"needs '\('"),
        ("app in (web", r"needs '\)'"),
        ("-app=web", "needs a label name"),
        ("app=-web", "cannot be a label's value"),
        ("weight>five", "whole number"),
        ("app web", "needs one of"),
        ("a" * 64, "needs a label name"),
    ],
)
def test_a_selector_that_does_not_parse_names_the_reason_and_the_position(selector: str, why: str) -> None:
    with pytest.raises(SelectorError, match=rf"{why}.*at position \d+"):
        LabelSelector.parse(selector)


def test_equal_selectors_compare_equal_in_any_spelling() -> None:
    one = LabelSelector.parse("tier==front,app in (b,a),app in (a,b)")
    assert one == LabelSelector.parse("app in (a, b), tier=front")
    assert LabelSelector.parse({"app": "web"}) == LabelSelector.parse("app=web")
    assert not LabelSelector.parse(None)


names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
requirements = st.one_of(
    st.builds(lambda key, value: Requirement(key, "=", (value,)), names, names),
    st.builds(lambda key, value: Requirement(key, "!=", (value,)), names, names),
    st.builds(
        lambda key, operator, values: Requirement(key, operator, tuple(sorted(values))),
        names,
        st.sampled_from(["in", "notin"]),
        st.sets(names, min_size=1, max_size=3),
    ),
    st.builds(lambda key, operator: Requirement(key, operator), names, st.sampled_from(["exists", "!"])),
)


@given(st.sets(requirements, max_size=4))
def test_a_rendered_selector_parses_to_itself(parts: set[Requirement]) -> None:
    selector = LabelSelector(tuple(sorted(parts)))
    assert LabelSelector.parse(str(selector)) == selector


@pytest.mark.parametrize("bad", [{"-app": "web"}, {"app": "we b"}, {"app": 5}, 5])
def test_a_mapping_that_cannot_be_labels_is_refused(bad: object) -> None:
    with pytest.raises(SelectorError):
        LabelSelector.parse(bad)  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from(["metadata.name", "spec.nodeName"]), st.text(max_size=10).map(str.strip)))
def test_a_field_selector_keeps_commas_equal_signs_and_backslashes(fields: dict[str, str]) -> None:
    selector = FieldSelector.parse(fields)
    if "" not in fields.values():
        assert FieldSelector.parse(str(selector)) == selector


@pytest.mark.parametrize("bad", ["metadata.name", "=web", "a>b", "a=b,c"])
def test_a_field_selector_that_does_not_parse_is_refused(bad: str) -> None:
    with pytest.raises(SelectorError, match="expected path=value"):
        FieldSelector.parse(bad)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "dev"]}]}, "env in (dev,prod)"),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]}, "env notin (dev)"),
        ({"matchExpressions": [{"key": "env", "operator": "Exists", "values": []}]}, "env"),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}], "matchLabels": {"a": "b"}}, "!env,a=b"),
        ({"matchLabels": {}, "matchExpressions": None}, ""),
        ({"matchLabels": "web"}, "matchLabels=web"),
    ],
)
def test_a_label_selector_object_is_a_selector(selector: dict[str, object], text: str) -> None:
    assert LabelSelector.parse(selector) == LabelSelector.parse(text)


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ({"matchLabels": {"app": 5}}, "cannot be a label"),
        ({"matchLabels": ["app"]}, "matchLabels is a mapping"),
        ({"matchLabels": {}, "app": "web"}, "not 'app'"),
        ({"matchExpressions": ["app"]}, "is a mapping, not str"),
        ({"matchExpressions": [{"key": "-", "operator": "Exists"}]}, "the key '-'"),
        ({"matchExpressions": [{"key": "app", "operator": "in", "values": ["a"]}]}, "one of In, NotIn"),
        ({"matchExpressions": [{"key": "app", "operator": "In"}]}, "needs values"),
        ({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}, "takes no values"),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": [5]}]}, "list of label values"),
    ],
)
def test_a_label_selector_object_that_is_wrong_is_refused(selector: dict[str, object], says: str) -> None:
    with pytest.raises(SelectorError, match=says):
        LabelSelector.parse(selector)


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        *(("6", True), ("006", True), ("+6", True), ("9223372036854775807", True)),
        *(("5", False), ("-6", False), ("", False), ("1_0", False), (" 6", False), ("6 ", False), ("6\n", False)),
        *(("٦", False), ("\uff16", False), ("9223372036854775808", False), ("6" * 5_000, False), ("0x6", False)),
    ],
)
def test_a_number_is_what_go_reads_as_one(value: str, matches: bool) -> None:
    # strconv.ParseInt(value, 10, 64), as apimachinery's labels.Requirement has it.
    greater = LabelSelector.parse("a>5")
    assert greater.matches({"a": value}) is matches
    assert LabelSelector.parse("a<5").matches({"a": value}) is (value == "-6")
