"""Policies in CEL: ValidatingAdmissionPolicies and their bindings (KEP-3488); conditions of webhooks (KEP-3716).

`authorizer` is not known: an expression that reads it has no value, and its policy denies the write or is left out.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.cel import (
    CompileError,
    EvaluationError,
    Expression,
    compile_expression,
    from_json,
)
from kinformer.testing._apiserver.rules.conversions import in_version
from kinformer.testing._apiserver.rules.selectors import selects_labels
from kinformer.testing._apiserver.rules.webhooks import Hook, matching
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.webhooks import Admission, Review
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.storage import Store

__all__ = [
    "CONDITION_VARIABLES",
    "POLICY_VARIABLES",
    "LazyVariables",
    "ask_policies",
    "bound_resource",
    "check_conditions",
    "compiled",
    "conditions_hold",
    "failed",
    "known_variables",
    "matched_resource",
    "parameters",
]

_GROUP: Final = "admissionregistration.k8s.io"
_POLICIES: Final = (_GROUP, "validatingadmissionpolicies")
_BINDINGS: Final = (_GROUP, "validatingadmissionpolicybindings")
CONDITION_VARIABLES: Final = ("object", "oldObject", "request")
"""The variables of the conditions of a webhook."""
POLICY_VARIABLES: Final = (*CONDITION_VARIABLES, "namespaceObject", "params", "variables")
"""The variables of a policy."""
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


class _Denial(NamedTuple):
    """One reason against a write."""

    policy: str
    binding: str
    message: str
    reason: str = ""


class LazyVariables(dict[str, Any]):
    """The `variables` of a policy: each is evaluated when it is read."""

    def __init__(self, expressions: dict[str, str], known: dict[str, Any]) -> None:
        super().__init__(expressions)
        self._known = known

    def __getitem__(self, name: str) -> Any:
        return compiled(super().__getitem__(name)).evaluate(self._known)


@lru_cache(maxsize=1024)
def compiled(text: str, variables: tuple[str, ...] = POLICY_VARIABLES) -> Expression:
    """Return an expression that can be evaluated.

    Raises:
        CompileError: it is none, or reads an unknown variable.
    """
    return compile_expression(text, variables)


def ask_policies(review: Review, admission: Admission, store: Store, catalog: Catalog) -> None:
    """Let a write pass if all policies allow it, and note their warnings.

    Raises:
        Refusal: a policy denies it.
    """
    if review.kind.storage in {_POLICIES, _BINDINGS}:
        # They would lock each other out.
        return
    bindings = [stored.manifest for _, stored in sorted(store.all(_BINDINGS).items())]
    for (_, name), stored in sorted(store.all(_POLICIES).items()):
        spec = stored.manifest.get("spec") or {}
        seen = matched_resource(spec.get("matchConstraints") or {}, review, store, catalog)
        if seen is None:
            continue
        known = known_variables(review, seen, admission, store)
        for binding in bindings:
            bound = binding.get("spec") or {}
            if bound.get("policyName") != name:
                continue
            if "matchResources" in bound and bound_resource(bound["matchResources"], review, store, catalog) is None:
                continue
            _decide(name, spec, binding, known, review, admission, store, catalog)


def conditions_hold(hook: Hook, review: Review, admission: Admission, seen: ResourceType) -> bool:
    """Report whether the conditions of a webhook hold for a write.

    Raises:
        Refusal: 403, a condition has no value, and the webhook must not be left out.
    """
    conditions = hook.webhook.get("matchConditions")
    if not conditions:
        return True
    known = _request_variables(review, seen, admission)
    fault = ""
    for condition in conditions:
        try:
            if compiled(condition["expression"], CONDITION_VARIABLES).evaluate(known) is not True:
                return False
        except (EvaluationError, CompileError) as error:
            fault = fault or failed(condition["expression"], error)
    if fault and hook.webhook.get("failurePolicy") != "Ignore":
        raise _forbidden(review, fault, "Forbidden", with_causes=False)
    return not fault


def _decide(
    name: str,
    spec: dict[str, Any],
    binding: dict[str, Any],
    known: dict[str, Any],
    review: Review,
    admission: Admission,
    store: Store,
    catalog: Catalog,
) -> None:
    """Evaluate a policy for a binding.

    Raises:
        Refusal: it denies the write.
    """
    bound, bound_name = binding["spec"], binding["metadata"]["name"]
    actions = bound.get("validationActions") or ()
    for message, reason in _faults(spec, bound, known, review, store, catalog):
        if "Warn" in actions:
            warning = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound_name}': {message}"
            admission.warnings.append(warning)
        if "Deny" in actions:
            text = f"ValidatingAdmissionPolicy '{name}' with binding '{bound_name}' denied request: {message}"
            raise _forbidden(review, text, reason)


def _faults(
    spec: dict[str, Any],
    bound: dict[str, Any],
    known: dict[str, Any],
    review: Review,
    store: Store,
    catalog: Catalog,
) -> Iterator[tuple[str, str]]:
    """The messages and reasons why a policy does not allow a write."""
    is_strict = spec.get("failurePolicy", "Fail") == "Fail"
    found = parameters(spec.get("paramKind"), bound.get("paramRef"), review, store, catalog)
    if found is None:
        yield (
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            "",
        )
        return
    for params in found:
        values = known | {"params": params}
        values["variables"] = LazyVariables(
            {one["name"]: one["expression"] for one in spec.get("variables") or ()}, values
        )
        try:
            if not check_conditions(spec, values):
                continue
        except EvaluationError as error:
            if is_strict:
                yield str(error), ""
            continue
        for validation in spec.get("validations") or ():
            text = validation["expression"]
            try:
                if compiled(text).evaluate(values) is True:
                    continue
            except (EvaluationError, CompileError) as error:
                if is_strict:
                    yield failed(text, error), validation.get("reason") or ""
                continue
            yield _message(validation, values), validation.get("reason") or ""


def check_conditions(spec: dict[str, Any], values: dict[str, Any]) -> bool:
    """Report whether a policy is to be evaluated.

    Raises:
        EvaluationError: a condition has no value, and none is false.
    """
    fault = ""
    for condition in spec.get("matchConditions") or ():
        try:
            if compiled(condition["expression"]).evaluate(values) is not True:
                return False
        except (EvaluationError, CompileError) as error:
            fault = fault or failed(condition["expression"], error)
    if fault:
        raise EvaluationError(fault)
    return True


def _message(validation: dict[str, Any], values: dict[str, Any]) -> str:
    text = validation.get("messageExpression") or ""
    if text:
        try:
            made = compiled(text).evaluate(values)
            if isinstance(made, str) and made.strip() and "\n" not in made:
                return made.strip()
        except (EvaluationError, CompileError):
            pass
    return (validation.get("message") or "").strip() or f"failed expression: {validation['expression'].strip()}"


def failed(text: str, error: Exception) -> str:
    """The words for an expression that has no value."""
    return f"expression '{text}' resulted in error: {error}"


def parameters(
    kind: dict[str, Any] | None, ref: dict[str, Any] | None, review: Review, store: Store, catalog: Catalog
) -> list[Any] | None:
    """The parameters that a policy is evaluated with, one after another; `None` if they must be there and are not."""
    if kind is None or ref is None:
        return [None]
    known = catalog.of_kind(kind["apiVersion"], kind["kind"])
    objects: list[Any] = []
    if known is not None:
        namespace = (ref.get("namespace") or review.namespace) if known.namespaced else ""
        objects = [
            in_version(known, stored.manifest)
            for key, stored in sorted(store.all(known.storage).items())
            if key[0] == namespace and _is_chosen(ref, key[1], stored.manifest)
        ]
    if objects:
        return [from_json(one, {}) for one in objects]
    return [] if ref.get("parameterNotFoundAction") == "Allow" else None


def _is_chosen(ref: dict[str, Any], name: str, manifest: dict[str, Any]) -> bool:
    if ref.get("name"):
        return bool(ref["name"] == name)
    return selects_labels(ref.get("selector") or {}, manifest["metadata"].get("labels") or {})


def matched_resource(resources: dict[str, Any], review: Review, store: Store, catalog: Catalog) -> ResourceType | None:
    """The resource, in the version that a policy wants it in; `None` if the policy does not concern the write."""
    excluded = _of_name(resources.get("excludeResourceRules") or (), review)
    if excluded and matching(Hook("", False, {"rules": excluded}), review, store, catalog) is not None:
        return None
    rules = _of_name(resources.get("resourceRules") or (), review)
    found = matching(Hook("", False, resources | {"rules": rules}), review, store, catalog)
    if found is None:
        return None
    versions = catalog.versions_of(review.kind.storage)
    return next((one for one in versions if one.version == found.version), review.kind)


def bound_resource(resources: dict[str, Any], review: Review, store: Store, catalog: Catalog) -> ResourceType | None:
    """As `matched_resource`; without rules, a binding concerns all that its policy does."""
    if resources.get("resourceRules"):
        return matched_resource(resources, review, store, catalog)
    every = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    return matched_resource(resources | {"resourceRules": [every]}, review, store, catalog)


def _of_name(rules: Any, review: Review) -> list[dict[str, Any]]:
    return [rule for rule in rules if not rule.get("resourceNames") or review.name in rule["resourceNames"]]


def known_variables(review: Review, seen: ResourceType, admission: Admission, store: Store) -> dict[str, Any]:
    """The variables of the expressions of a policy, but for its parameters and its own variables."""
    space = store.get(("", "namespaces"), ("", review.namespace)) if review.namespace else None
    namespace = None if space is None else from_json(space.manifest, {})
    return _request_variables(review, seen, admission) | {"namespaceObject": namespace}


def _request_variables(review: Review, seen: ResourceType, admission: Admission) -> dict[str, Any]:
    kind, user = review.kind, admission.user
    requester = {"username": user.name, "uid": user.uid, "groups": [*user.groups], "extra": dict(user.extra)}
    request = {
        "kind": {"group": seen.group, "version": seen.version, "kind": seen.kind},
        "resource": {"group": seen.group, "version": seen.version, "resource": seen.plural},
        "subResource": review.subresource,
        "requestKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "requestResource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
        "requestSubResource": review.subresource,
        "name": review.name,
        "operation": review.operation,
        "userInfo": {name: value for name, value in requester.items() if value},
        "dryRun": admission.dry_run,
        "options": admission.options,
    } | ({"namespace": review.namespace} if review.namespace else {})
    new, old = (None if one is None else from_json(in_version(seen, one), {}) for one in (review.new, review.old))
    return {"object": new, "oldObject": old, "request": request}


def _forbidden(review: Review, text: str, reason: str, *, with_causes: bool = True) -> status.Refusal:
    kind = review.kind
    subject = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    named = review.name or "Unknown"
    details: dict[str, Any] = {"name": named} | ({"group": kind.group} if kind.group else {}) | {"kind": kind.plural}
    reason = reason or "Invalid"
    return status.Refusal(
        _CODES.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY),
        f'{subject} "{named}" is forbidden: {text}',
        reason,
        details | ({"causes": [{"message": text}]} if with_causes else {}),
    )
