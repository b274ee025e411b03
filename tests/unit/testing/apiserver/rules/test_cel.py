"""Rules in CEL: the verdicts and the texts of a real kube-apiserver, kept in tests/data/cel-1.36.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.rules.cel import CompileError, EvaluationError, compile_expression, from_json
from kinformer.testing._apiserver.rules.cel_rules import check_rule_texts, check_rules
from kinformer.testing._apiserver.rules.schema_rules import has_rules
from kinformer.testing._apiserver.store.status import Refusal
from tests.apiserver import cel_types
from tests.apiserver.cel_verdicts import KEPT, crd, holder

CASES: list[dict[str, Any]] = json.loads(KEPT.read_text())
TAKEN = [case for case in CASES if "refused" not in case]
# What only an estimate of the cost can find.
NOT_FOUND = "estimated rule cost exceeds budget"
# Numbers without a sign, and functions that are not evaluated here, are refused aloud.
REFUSED_HERE = ("1u", "strings.quote", "google.protobuf")
TYPES = json.loads(cel_types.KEPT.read_text())


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case["rule"])
def test_a_rule_judges_as_a_real_server_does_and_in_its_words(case: dict[str, Any]) -> None:
    place = f"p{CASES.index(case)}"
    schema = {
        "type": "object",
        "properties": {place: case["schema"] | {"x-kubernetes-validations": [{"rule": case["rule"]}]}},
    }
    for value, expected in case["values"]:
        found = check_rules({"metadata": {"name": "it"}, place: value}, None, schema)
        assert ", ".join(f"{path}: {message}" for _, message, path in found) == expected, value


@pytest.mark.parametrize("case", [case for case in CASES if "refused" in case], ids=lambda case: case["rule"])
def test_a_rule_that_a_real_server_refuses_is_refused_but_for_its_cost(case: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"p": case["schema"]}}
    schema["properties"]["p"] = case["schema"] | {"x-kubernetes-validations": [{"rule": case["rule"]}]}  # type: ignore[index]
    found = [*check_rule_texts(schema, "")]
    if NOT_FOUND in case["refused"]:
        assert not found
    else:
        assert found[0][1].split("ERROR")[-1].splitlines()[0] in case["refused"]


@pytest.mark.parametrize("sort", TYPES["expressions"])
def test_an_expression_is_refused_when_it_is_posted_with_the_words_of_a_real_server(
    server: ApiServer, sort: str
) -> None:
    expected = TYPES["expressions"][sort]
    with pytest.raises(Refusal) as refused:
        server.create(cel_types.body(sort, TYPES["schema"], [*expected]))
    found = cel_types.refusals({"details": refused.value.details}, [*expected])
    different = {text: (found[text], why) for text, why in expected.items() if found[text] != why}
    assert {text for text in different if not any(part in text for part in REFUSED_HERE)} == set()
    assert all(given for given, _ in different.values())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self >", "mismatched input '<EOF>'"),
        ("Bad Value!", "ERROR: <input>:1:5: Syntax error: mismatched input 'Value' expecting <EOF>"),
        ("nosuch(self)", "undeclared reference to 'nosuch' (in container '')"),
        ("self.nosuch()", "undeclared reference to 'nosuch'"),
        ("other == 1", "undeclared reference to 'other'"),
        ("self.all(x, x > y)", "undeclared reference to 'y'"),
        ("has(self)", "invalid argument to has() macro"),
        ("1u == self", "unsigned integers are not evaluated here"),
        ("self # 1", "token recognition error"),
        ("Object{a: 1}", "undeclared reference"),
    ],
)
def test_what_is_no_expression_or_not_known_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(CompileError) as refused:
        compile_expression(text, ("self", "oldSelf"))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("false && self.a", False),
        ("self.a || true", True),
        ("[1, 2, 3].exists(x, 1 / (x - 1) == 1)", True),
        ("[1, 2].map(x, x > 1, x * 10)", [20]),
        ("{'a': 1}.all(k, v, k == 'a' && v == 1)", True),
        ("[3, 4].transformList(i, v, i * v)", [0, 4]),
        ("[5].transformMap(i, v, v + 1)", {0: 6}),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("r'\\d' == '\\\\d'", True),
        ("'\\u0041'", "A"),
        ("0x10", 16),
        ("optional.of(3).orValue(4)", 3),
        ("optional.none().orValue(4)", 4),
        ("[1, 2][?5].hasValue()", False),
        ("[1].?foo.hasValue()", EvaluationError),
        ("9223372036854775807 + 1", EvaluationError),
        ("1 + 'a'", EvaluationError),
        ("true + true", EvaluationError),
        ("'a' < 1", EvaluationError),
        ("timestamp('2024-02-29T12:30:15Z').getDayOfWeek()", 4),
        ("timestamp('2024-02-29T12:30:15Z').getHours('+02:00')", 14),
        ("duration('90m').getHours()", 1),
        ("string(duration('1m'))", "60s"),
        ("'%s %d %.2f'.format(['a', 1, 1.5])", "a 1 1.50"),
        ("'a-b-c'.split('-', 2)", ["a", "b-c"]),
        ("'hello'.reverse()", "olleh"),
        ("quantity('1.5Gi').isLessThan(quantity('2Gi'))", True),
        ("semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))", True),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", True),
        ("sets.intersects([1], [2, 1])", True),
        ("type(1) == int", True),
    ],
)
def test_an_expression_has_its_value(text: str, value: Any) -> None:
    expression = compile_expression(text, ("self",))
    if value is EvaluationError:
        with pytest.raises(EvaluationError):
            expression.evaluate({"self": {}})
    else:
        assert expression.evaluate({"self": {}}) == value


def test_an_expression_sees_properties_by_their_escaped_names_and_none_that_the_schema_lacks() -> None:
    schema = {"type": "object", "properties": {"a-b": {"type": "integer"}, "for": {"type": "string"}}}
    assert from_json({"a-b": 1, "for": "x", "more": 2}, schema) == {"a__dash__b": 1, "__for__": "x"}


RULE = {
    "schema": {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string", "maxLength": 3}}},
    "rule": "self.n >= 0",
    "values": [],
}


def rules(*given: dict[str, Any]) -> dict[str, Any]:
    """Return a CRD with these rules for the property `it`."""
    made = crd({"it": RULE})
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["it"]
    schema["x-kubernetes-validations"] = [*given]
    return made


def refusal(server: ApiServer, value: Any) -> str:
    with pytest.raises(Refusal) as refused:
        server.create(holder("it", value) | {"metadata": {"name": "it", "namespace": "default"}})
    assert refused.value.code == 422
    return str(refused.value).partition(" is invalid: ")[2]


def test_a_rule_has_a_message_or_makes_one_and_a_reason_and_a_path(server: ApiServer) -> None:
    server.create(
        rules(
            {"rule": "self.n != 1", "message": "not one"},
            {"rule": "self.n != 2", "messageExpression": "'not ' + string(self.n)"},
            {"rule": "self.n != 3", "reason": "FieldValueForbidden", "fieldPath": ".n"},
            {"rule": "self.n != 4", "reason": "FieldValueRequired", "message": "another"},
        )
    )
    assert refusal(server, {"n": 1}) == "it: Invalid value: not one"
    assert refusal(server, {"n": 2}) == "it: Invalid value: not 2"
    assert refusal(server, {"n": 3}) == "it.n: Forbidden: failed rule: self.n != 3"
    assert refusal(server, {"n": 4}) == "it: Required value: another"
    assert '[it: Invalid value: "object": no such key: n evaluating rule: not one, ' in refusal(server, {})


def test_rules_are_not_checked_where_the_schema_refuses_the_object(server: ApiServer) -> None:
    server.create(rules({"rule": "self.n != 1"}))
    assert refusal(server, {"n": 1, "s": "long"}) == (
        "[it.s: Too long: may not be more than 3 bytes, <nil>: Invalid value: null: some validation rules were not "
        "checked because the object was invalid; correct the existing errors to complete validation]"
    )


def test_a_rule_about_a_change_is_for_updates_and_what_does_not_change_is_not_judged_again(server: ApiServer) -> None:
    server.create(rules({"rule": "self.n >= oldSelf.n", "message": "it only grows"}))
    made = server.create(holder("it", {"n": 5}) | {"metadata": {"name": "it", "namespace": "default"}})
    server.update(made | {"it": {"n": 6}})
    with pytest.raises(Refusal, match="it only grows"):
        server.update(server.get("cel.example.com/v1", "Rule", "it") | {"it": {"n": 4}})
    # The rule is new, and the object breaks it; only what changes is judged.
    changed = server.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "rules.cel.example.com")
    server.update(changed | {"spec": rules({"rule": "self.n < 3"})["spec"]})
    again = server.get("cel.example.com/v1", "Rule", "it")
    server.update(again | {"metadata": again["metadata"] | {"labels": {"a": "b"}}})


def test_a_crd_with_a_rule_that_cannot_be_evaluated_is_refused(server: ApiServer) -> None:
    with pytest.raises(Refusal) as refused:
        server.create(rules({"rule": "nosuch(self)"}))
    place = "spec.validation.openAPIV3Schema.properties[it].x-kubernetes-validations[0].rule"
    assert place in str(refused.value)
    assert "undeclared reference to 'nosuch'" in str(refused.value)


def test_a_field_that_has_the_name_of_the_rules_is_no_rule() -> None:
    rules = {"x-kubernetes-validations": [{"rule": "true"}]}
    field = {"type": "object", "properties": {"x-kubernetes-validations": {"type": "array", "items": {}}}}
    assert not has_rules(field)
    assert has_rules(field | rules)
    for place in ({"items": rules}, {"properties": {"a": rules}}, {"additionalProperties": rules}):
        assert has_rules({"properties": {"a": place}})
