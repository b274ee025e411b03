"""The rules for policies of admission, and for the conditions of webhooks (pkg/apis/admissionregistration/validation).

The expressions are checked with the types of the variables that they may read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.cel import CompileError, check_types, shown_type
from kinformer.testing._apiserver.rules.cel.declarations import AUTHORIZER, JSON_PATCH, NAMESPACE, OBJECT, REQUEST
from kinformer.testing._apiserver.rules.cel.signatures import BOOL, DYN, NULL, STRING, Type, list_of
from kinformer.testing._apiserver.rules.fields.terms import (
    among,
    below,
    different,
    each,
    either,
    needed,
    on,
    path_segment,
    qualified,
    subdomain,
)
from kinformer.testing._apiserver.rules.names import DNS_1035, DNS_1035_RULE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES", "dns_1035", "match_conditions"]

_LONGEST_LABEL: Final = 63
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_REQUEST_VARIABLES: Final = {
    "object": DYN,
    "oldObject": DYN,
    "request": REQUEST,
    "namespaceObject": NAMESPACE,
    "authorizer": AUTHORIZER,
}


def dns_1035(value: str, path: str) -> Iterator[Cause]:
    """A label of RFC 1035."""
    if len(value) > _LONGEST_LABEL:
        yield invalid_value(path, value, f"must be no more than {_LONGEST_LABEL} characters")
    if not re.fullmatch(DNS_1035, value):
        yield invalid_value(path, value, DNS_1035_RULE)


def _expression(text: str, path: str, known: Mapping[str, Type], *wanted: Type) -> Iterator[Cause]:
    """Judge an expression whose value is of one of some types; of any type if none is named."""
    try:
        found = check_types(text, known)
    except CompileError as error:
        yield invalid_value(path, text, f"compilation failed: {error}")
        return
    if wanted and found not in wanted:
        names = [shown_type(one) for one in wanted]
        shown = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
        yield invalid_value(path, text, f"must evaluate to {shown} but got {shown_type(found)}")


def match_conditions(
    value: dict[str, Any], path: str, known: Mapping[str, Type] = _REQUEST_VARIABLES
) -> Iterator[Cause]:
    """Judge the conditions of a webhook, or of a policy.

    Args:
        value: the webhook, or the spec of the policy.
        path: its path.
        known: the variables that they may read.
    """
    seen: set[str] = set()
    for index, condition in enumerate(value.get("matchConditions") or ()):
        at, name = f"{path}.matchConditions[{index}]", condition.get("name") or ""
        expression = (condition.get("expression") or "").strip()
        if expression:
            yield from _expression(expression, f"{at}.expression", known, BOOL)
        else:
            yield required(f"{at}.expression")
        yield from either(needed(), qualified)(name, f"{at}.name")
        if name and name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)


def _match_constraints(value: dict[str, Any], path: str) -> Iterator[Cause]:
    constraints = value.get("matchConstraints")
    if constraints is None:
        yield required(f"{path}.matchConstraints")
    elif not constraints.get("resourceRules"):
        yield required(f"{path}.matchConstraints.resourceRules")


def _parameter_kind(value: Any, path: str) -> Iterator[Cause]:
    if value is None:
        return
    version, kind = value.get("apiVersion") or "", value.get("kind") or ""
    at = f"{path}.apiVersion"
    if not version:
        yield required(at)
    elif version.count("/") > 1:
        yield invalid_value(at, version, f"unexpected GroupVersion string: {version}")
    else:
        group, _, number = version.rpartition("/")
        yield from subdomain(group or None, at)
        yield from dns_1035(number, at)
    if not kind:
        yield required(f"{path}.kind")
        return
    why = f"may have mixed case, but should otherwise match: {DNS_1035_RULE}"
    if len(kind) > _LONGEST_LABEL:
        most = f"must be no more than {_LONGEST_LABEL} characters"
        yield invalid_value(f"{path}.kind", kind, f"may have mixed case, but should otherwise match: {most}")
    if not re.fullmatch(DNS_1035, kind.lower()):
        yield invalid_value(f"{path}.kind", kind, why)


def _policy_variables(value: dict[str, Any]) -> dict[str, Type]:
    """The variables of the expressions of a policy, but for those that it declares itself."""
    return _REQUEST_VARIABLES | ({} if value.get("paramKind") is None else {"params": DYN})


def _variables(value: dict[str, Any], path: str, known: dict[str, Type]) -> Iterator[Cause]:
    """Judge the variables of a policy; each may read those before it, and `known` gets all of them."""
    own: dict[str, Type] = {}
    if value.get("variables"):
        known["variables"] = Type("kubernetes.variables", fields=own)
    for index, variable in enumerate(value.get("variables") or ()):
        at, name, text = f"{path}.variables[{index}]", variable.get("name") or "", variable.get("expression") or ""
        if not name:
            yield required(f"{at}.name", "name is not specified")
        elif not re.fullmatch("[_a-zA-Z][_a-zA-Z0-9]*", name):
            yield invalid_value(f"{at}.name", name, "must be a valid CEL identifier")
        if not text.strip():
            yield required(f"{at}.expression", "expression is not specified")
            continue
        yield from _expression(text, f"{at}.expression", known)
        own[name] = _type_of(text, known) if name not in own else DYN


def _type_of(text: str, known: Mapping[str, Type]) -> Type:
    try:
        return check_types(text, known)
    except CompileError:
        return DYN


def _validating_policy(value: dict[str, Any], path: str) -> Iterator[Cause]:
    policy = (value.get("metadata") or {}).get("name") or ""
    # The annotations of the audit have the name of the policy before theirs.
    yield from _validating_spec(value.get("spec") or {}, below(path, "spec"), policy)


def _validating_spec(value: dict[str, Any], path: str, policy: str) -> Iterator[Cause]:
    known = _policy_variables(value)
    yield from _parameter_kind(value.get("paramKind"), f"{path}.paramKind")
    yield from _match_constraints(value, path)
    yield from match_conditions(value, path, known)
    yield from _variables(value, path, known)
    if not value.get("validations") and not value.get("auditAnnotations"):
        for field in ("validations", "auditAnnotations"):
            yield required(f"{path}.{field}", "validations or auditAnnotations must contain at least one item")
    for index, validation in enumerate(value.get("validations") or ()):
        yield from _validation(validation, f"{path}.validations[{index}]", known)
    yield from _audit(value, path, policy, known)


def _validation(value: dict[str, Any], path: str, known: Mapping[str, Type]) -> Iterator[Cause]:
    text, message = value.get("expression") or "", value.get("message") or ""
    if text.strip():
        yield from _expression(text, f"{path}.expression", known, BOOL)
    else:
        yield required(f"{path}.expression", "expression is not specified")
    if made := value.get("messageExpression"):
        unprivileged = {name: one for name, one in known.items() if name != "authorizer"}
        yield from _expression(made, f"{path}.messageExpression", unprivileged, STRING)
    if "\n" in message.strip():
        yield invalid_value(f"{path}.message", message, "must not contain line breaks")
    reason = value.get("reason")
    if reason is not None and reason not in _REASONS:
        yield one_of(f"{path}.reason", reason, _REASONS)


def _audit(value: dict[str, Any], path: str, policy: str, known: Mapping[str, Type]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, annotation in enumerate(value.get("auditAnnotations") or ()):
        at, key = f"{path}.auditAnnotations[{index}]", annotation.get("key") or ""
        yield from qualified(f"{policy}/{key}", f"{at}.key")
        text = (annotation.get("valueExpression") or "").strip()
        if text:
            yield from _expression(text, f"{at}.valueExpression", known, STRING, NULL)
        else:
            yield required(f"{at}.valueExpression", "valueExpression is not specified")
        if key in seen:
            yield duplicate(f"{at}.key", key)
        seen.add(key)


def _parameters(value: dict[str, Any], path: str) -> Iterator[Cause]:
    parameters, at = value.get("paramRef"), f"{path}.paramRef"
    if parameters is None:
        return
    name, selector = parameters.get("name") or "", parameters.get("selector")
    if name and selector is not None:
        for field in ("name", "selector"):
            yield forbidden(f"{at}.{field}", "name and selector are mutually exclusive")
    elif not name and selector is None:
        yield required(at, "one of name or selector must be specified")
    yield from path_segment(name, f"{at}.name")
    action = parameters.get("parameterNotFoundAction")
    yield from either(needed(), among("Deny", "Allow"))(action, f"{at}.parameterNotFoundAction")


def _mutating_policy(value: dict[str, Any], path: str) -> Iterator[Cause]:
    known = _policy_variables(value)
    yield from _parameter_kind(value.get("paramKind"), f"{path}.paramKind")
    yield from _match_constraints(value, path)
    yield from match_conditions(value, path, known)
    known |= {"variables": Type("kubernetes.variables", fields={}), "Object": OBJECT, "JSONPatch": JSON_PATCH}
    yield from _variables(value, path, known)
    if not value.get("mutations"):
        yield required(f"{path}.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(value.get("mutations") or ()):
        yield from _mutation(mutation, f"{path}.mutations[{index}]", known)
    if not value.get("reinvocationPolicy"):
        yield required(f"{path}.reinvocationPolicy")


_MUTATIONS: Final = (
    ("ApplyConfiguration", "applyConfiguration", Type("Object")),
    ("JSONPatch", "jsonPatch", list_of(Type("JSONPatch"))),
)


def _mutation(value: dict[str, Any], path: str, known: Mapping[str, Type]) -> Iterator[Cause]:
    kind = value.get("patchType")
    if not kind:
        yield required(f"{path}.patchType")
    for name, field, wanted in _MUTATIONS:
        if kind != name:
            continue
        if value.get(field) is None:
            yield required(f"{path}.{field}", f"must be specified when patchType is {name}")
        elif not value[field].get("expression"):
            yield required(f"{path}.{field}.expression")
        else:
            yield from _expression(value[field]["expression"], f"{path}.{field}.expression", known, wanted)


_ACTION: Final = among("Audit", "Deny", "Warn")

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "admissionregistration/v1.ValidatingAdmissionPolicy": (_validating_policy,),
    "admissionregistration/v1.ValidatingAdmissionPolicyBindingSpec": (
        on("policyName", either(needed(), subdomain)),
        on("validationActions", needed("at least one validation action is required"), different, each(_ACTION)),
        _parameters,
    ),
    "admissionregistration/v1.MutatingAdmissionPolicySpec": (_mutating_policy,),
    "admissionregistration/v1.MutatingAdmissionPolicyBindingSpec": (
        on("policyName", either(needed(), subdomain)),
        _parameters,
    ),
}
