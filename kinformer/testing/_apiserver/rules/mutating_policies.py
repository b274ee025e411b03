"""MutatingAdmissionPolicies: expressions that change objects before they are stored (KEP-3962).

The policies change an object one after another, in the order of their names, before the webhooks do. A policy with
`reinvocationPolicy: IfNeeded` changes it once more if others have changed it since.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.bodies import not_strict, read_built_in
from kinformer.testing._apiserver.rules.cel import CompileError, EvaluationError
from kinformer.testing._apiserver.rules.cel.messages import WrongTypeError, plain_value
from kinformer.testing._apiserver.rules.conversions import in_version
from kinformer.testing._apiserver.rules.json_patch import PatchError, patched
from kinformer.testing._apiserver.rules.policies import (
    POLICY_VARIABLES,
    LazyVariables,
    bound_resource,
    check_conditions,
    compiled,
    failed,
    known_variables,
    matched_resource,
    parameters,
)
from kinformer.testing._apiserver.rules.typed_values import faults_of, merged
from kinformer.testing._apiserver.schemas.reading import ReadError
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.webhooks import Admission, Review
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.storage import Store
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["MutatingPolicies"]

_GROUP: Final = "admissionregistration.k8s.io"
_POLICIES: Final = (_GROUP, "mutatingadmissionpolicies")
_BINDINGS: Final = (_GROUP, "mutatingadmissionpolicybindings")
_NOT_CHANGED: Final = {
    *(_POLICIES, _BINDINGS),
    *((_GROUP, plural) for plural in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")),
}
"""The resources that no policy changes: they would lock each other out."""

_VARIABLES: Final = (*POLICY_VARIABLES, "Object", "JSONPatch")
_NO_PARAMS: Final = (
    "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
)


class _DeniedError(Exception):
    """A policy cannot be applied to an object."""

    def __init__(self, why: str, reason: str = "Invalid") -> None:
        super().__init__(why)
        self.reason = reason


class MutatingPolicies:
    """The policies that change one object, which remember the state that each of them left.

    Args:
        review: the question about the object.
        admission: the circumstances of the write.
        store: the objects.
        catalog: the resources.
    """

    def __init__(self, review: Review, admission: Admission, store: Store, catalog: Catalog) -> None:
        self._review = review
        self._admission = admission
        self._store = store
        self._catalog = catalog
        self._left: dict[tuple[str, str], Any] = {}

    def apply(self, new: dict[str, Any] | None, *, again: bool = False) -> dict[str, Any] | None:
        """Return the object after all policies.

        Args:
            new: the object.
            again: whether only those change it that want to see the changes of others.

        Raises:
            Refusal: 403, a policy cannot be applied, and must not be left out.
        """
        if new is None or self._review.kind.storage in _NOT_CHANGED:
            return new
        bindings = [stored.manifest for _, stored in sorted(self._store.all(_BINDINGS).items())]
        for (_, name), stored in sorted(self._store.all(_POLICIES).items()):
            spec = stored.manifest.get("spec") or {}
            for binding in bindings:
                if (binding.get("spec") or {}).get("policyName") != name:
                    continue
                place = (name, binding["metadata"]["name"])
                is_wanted = spec.get("reinvocationPolicy") == "IfNeeded" and place in self._left
                if again and not (is_wanted and self._left[place] != new):
                    continue
                new = self._bound(name, spec, binding, new)
        return new

    def _bound(self, name: str, spec: dict[str, Any], binding: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """The object after a policy that is bound to it."""
        review, bound = self._review._replace(new=new), binding["spec"]
        seen = matched_resource(spec.get("matchConstraints") or {}, review, self._store, self._catalog)
        resources = bound.get("matchResources")
        if seen is None or (
            resources is not None and bound_resource(resources, review, self._store, self._catalog) is None
        ):
            return new
        try:
            made = self._changed(spec, bound, seen, review, new)
        except _DeniedError as error:
            if spec.get("failurePolicy", "Fail") != "Fail":
                return new
            text = f"policy '{name}' with binding '{binding['metadata']['name']}' denied request: {error}"
            raise status.Refusal(HTTPStatus.FORBIDDEN, text, error.reason, {"causes": [{"message": text}]}) from None
        self._left[name, binding["metadata"]["name"]] = made
        return made

    def _changed(
        self, spec: dict[str, Any], bound: dict[str, Any], seen: ResourceType, review: Review, new: dict[str, Any]
    ) -> dict[str, Any]:
        found = parameters(spec.get("paramKind"), bound.get("paramRef"), review, self._store, self._catalog)
        if found is None:
            raise _DeniedError(_NO_PARAMS, "Forbidden")
        for params in found:
            for mutation in self._mutations(spec, params, seen, review):
                known = self._known(spec, params, seen, review._replace(new=new))
                before = in_version(seen, new)
                after = _mutated(mutation, known, before, seen.structure)
                _check_fields(seen, before, after)
                new = in_version(review.kind, after) if seen is not review.kind else after
        return new

    def _known(self, spec: dict[str, Any], params: Any, seen: ResourceType, review: Review) -> dict[str, Any]:
        known = known_variables(review, seen, self._admission, self._store) | {"params": params}
        expressions = {one["name"]: one["expression"] for one in spec.get("variables") or ()}
        known["variables"] = LazyVariables(expressions, known)
        return known

    def _mutations(
        self, spec: dict[str, Any], params: Any, seen: ResourceType, review: Review
    ) -> Iterator[dict[str, Any]]:
        """The changes of a policy, if its conditions hold."""
        try:
            if not check_conditions(spec, self._known(spec, params, seen, review)):
                return
        except EvaluationError as error:
            raise _DeniedError(str(error)) from None
        yield from spec.get("mutations") or ()


def _mutated(
    mutation: dict[str, Any], known: dict[str, Any], before: dict[str, Any], structure: Structure
) -> dict[str, Any]:
    is_patch = mutation.get("patchType") == "JSONPatch"
    text = (mutation.get("jsonPatch" if is_patch else "applyConfiguration") or {}).get("expression") or ""
    try:
        value = compiled(text, _VARIABLES).evaluate(known)
    except (EvaluationError, CompileError) as error:
        raise _DeniedError(failed(text, error)) from None
    try:
        made = plain_value(value)
    except WrongTypeError as error:
        raise _DeniedError(f"type mismatch: {error}") from None
    if is_patch:
        try:
            return _whole(patched(before, made), before)
        except PatchError as error:
            if error.is_test:
                # A test that does not hold leaves the object as it is.
                return before
            raise _DeniedError(f"JSON Patch: {error}") from None
    return _applied(before, made, structure)


def _check_fields(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse fields that a patch adds and a built-in kind does not have, as they would be lost without a word.

    A real server decodes the object strictly (apiserver, plugin/policy/mutating/patch/json_patch.go), and answers 500.

    Raises:
        Refusal: 400, there is such a field.
    """
    known: list[str] = []
    found: list[str] = []
    try:
        read_built_in(kind, before, known)
        read_built_in(kind, after, found)
    except ReadError:
        return  # The read of the whole object, which follows, names the fault.
    added = [f'unknown field "{path}"' for path in found if path not in known]
    if added:
        raise not_strict(kind, added)


def _applied(before: dict[str, Any], wanted: dict[str, Any], structure: Structure) -> dict[str, Any]:
    """The object with the fields that a policy applies; an atomic field would take those of others with it."""
    prefix = "error applying patch: "
    for fault in (*_wrong_values(wanted, structure, ""), *faults_of(wanted, structure)):
        raise _DeniedError(f"{prefix}failed to convert patch object to typed object: {fault}")
    for path in _atomic(wanted, structure, ""):
        why = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs"
        raise _DeniedError(f"{prefix}{why}: {path}")
    made: dict[str, Any] = merged(before, wanted, structure)
    return made | {"apiVersion": before["apiVersion"], "kind": before["kind"]}


def _atomic(value: Any, structure: Structure, path: str) -> Iterator[str]:
    if isinstance(value, dict | list) and structure.atomic:
        yield path
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _atomic(child, structure.child(name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _atomic(item, structure.child(""), f"{path}[{index}]")


def _wrong_values(value: Any, structure: Structure, path: str) -> Iterator[str]:
    """The values that have another form than the field (structured-merge-diff, typed/validate.go)."""
    if value is None and structure.shape in {"map", "struct", "list"}:
        yield f"{path}: expected {'list' if structure.shape == 'list' else 'map'}, got &{{NULL_VALUE}}"
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _wrong_values(child, structure.child(name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _wrong_values(item, structure.child(""), f"{path}[{index}]")
    elif structure.go_type == "string" and not isinstance(value, str):
        yield f"{path}: expected string, got &value.valueUnstructured{{Value:{json.dumps(value)}}}"


def _whole(made: Any, before: dict[str, Any]) -> dict[str, Any]:
    return made if isinstance(made, dict) else before
