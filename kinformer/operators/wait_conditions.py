"""Named conditions to wait for, which can be combined.

    from kinformer.operators.wait_conditions import condition_true, deleted, phase, rolled_out

    await deployments.wait_for("web", rolled_out(), 120, namespace="shop")
    await pods.wait_for(pod.key, phase("Running") & condition_true("Ready") | deleted(pod), 60)

A condition takes an object (or `None` if it does not exist) and returns a bool. Any function can be one, and `&`, `|`
and `~` take plain functions, too. The conditions here can also explain why they do not hold: the error of a timeout
shows the reason. A reason never contains a value of a Secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.labels import LabelSelector
from kinformer.operators.status_conditions import find_condition, is_condition
from kinformer.resources import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject
    from kinformer.operators.status_conditions import ConditionStatus

__all__ = [
    "Condition",
    "condition_is",
    "condition_true",
    "deleted",
    "exists",
    "field_equals",
    "labelled",
    "phase",
    "rolled_out",
]

_ABSENT: Final = "it does not exist"
_LONGEST: Final = 60


class Condition:
    """A condition of an object: `condition(obj)` returns a bool, `condition.why_not(obj)` explains a false one.

    Args:
        name: the condition in words, such as "phase is Running".
        why_not: takes an object, or `None` if it does not exist. Returns why the condition does not hold, or "" if it
            holds.
    """

    __slots__ = ("_why_not", "name")

    def __init__(self, name: str, why_not: Callable[[KubeObject | None], str]) -> None:
        self.name = name
        self._why_not = why_not

    def __repr__(self) -> str:
        return f"<Condition {self.name}>"

    def __call__(self, obj: KubeObject | None) -> bool:
        """Return whether the condition holds."""
        return not self._why_not(obj)

    def why_not(self, obj: KubeObject | None) -> str:
        """Return the reason why the condition does not hold; "" if it holds."""
        return self._why_not(obj)

    def __and__(self, other: Callable[[KubeObject | None], object]) -> Condition:
        """Return the condition that both hold."""
        one, two = self, _as_condition(other)

        def why_not(obj: KubeObject | None) -> str:
            reasons = dict.fromkeys(filter(None, (one.why_not(obj), two.why_not(obj))))
            return "; ".join(reasons)

        return Condition(f"{one.name} and {two.name}", why_not)

    def __or__(self, other: Callable[[KubeObject | None], object]) -> Condition:
        """Return the condition that at least one of them holds."""
        one, two = self, _as_condition(other)

        def why_not(obj: KubeObject | None) -> str:
            reasons = (one.why_not(obj), two.why_not(obj))
            return " and ".join(dict.fromkeys(reasons)) if all(reasons) else ""

        return Condition(f"{one.name} or {two.name}", why_not)

    def __invert__(self) -> Condition:
        """Return the condition that this one does not hold."""
        name = self.name
        return Condition(f"not ({name})", lambda obj: f"{name}, and should not be" if self(obj) else "")

    def __rand__(self, other: Callable[[KubeObject | None], object]) -> Condition:
        return _as_condition(other) & self

    def __ror__(self, other: Callable[[KubeObject | None], object]) -> Condition:
        return _as_condition(other) | self


def exists() -> Condition:
    """Return the condition that the object exists."""
    return Condition("it exists", lambda obj: "" if obj is not None else _ABSENT)


def deleted(what: KubeObject | str = "") -> Condition:
    """Return the condition that the object is gone.

    Args:
        what: the object or its UID. Then the condition also holds if a later object has the same name. By default, it
            holds only if no object has the name.
    """
    uid = what if isinstance(what, str) else what.uid

    def why_not(obj: KubeObject | None) -> str:
        if obj is None or (uid and obj.uid != uid):
            return ""
        finalizers = obj.at("metadata.finalizers") or []
        if obj.deletion_timestamp is None:
            return "it is there, and not marked for deletion"
        return f"it is being deleted, and waits for {', '.join(finalizers) or 'its grace period'}"

    return Condition("it is gone", why_not)


def condition_is(
    type: str,  # noqa: A002 - the API's own word
    status: ConditionStatus,
    *,
    current: bool = False,
) -> Condition:
    """Return the condition that the object's `status.conditions` has an entry of a type with a status.

    Args:
        type: the condition's type, such as "Available".
        status: "True", "False" or "Unknown".
        current: the entry must be about the object's present generation, not an older one.
    """

    def why_not(obj: KubeObject | None) -> str:
        if obj is None:
            return _ABSENT
        if is_condition(obj, type, status, current=current):
            return ""
        entry = find_condition(obj, type)
        if entry is None:
            return f"it has no condition {type}"
        if entry.get("status") == status:
            return f"condition {type} is {status} for an older generation"
        reason = entry.get("reason")
        return f"condition {type} is {entry.get('status')}" + (f" ({reason})" if reason else "")

    return Condition(f"condition {type} is {status}", why_not)


def condition_true(type: str, *, current: bool = False) -> Condition:  # noqa: A002 - the API's own word
    """Return the condition that the object's condition of a type is "True"; see `condition_is`."""
    return condition_is(type, "True", current=current)


def field_equals(path: str | Sequence[str | int], value: Any) -> Condition:
    """Return the condition that a field has a value.

    Args:
        path: as for `KubeObject.at`: "spec.nodeName", or a sequence if names contain dots.
        value: the expected value; a missing field has the value `None`.
    """
    where = path if isinstance(path, str) else ".".join(map(str, path))

    def why_not(obj: KubeObject | None) -> str:
        if obj is None:
            return _ABSENT
        found = obj.at(path)
        if found == value and type(found) is type(value):
            return ""
        return f"{where} is not as wanted" if obj.resource == SECRETS else f"{where} is {_short(found)}"

    return Condition(f"{where} is as wanted", why_not)


def phase(*phases: str) -> Condition:
    """Return the condition that `status.phase` is one of some phases: for pods, namespaces, volumes and claims.

    Raises:
        ValueError: no phase is named.
    """
    if not phases:
        raise ValueError("which phase? One at least must be named, such as phase('Running')")

    def why_not(obj: KubeObject | None) -> str:
        if obj is None:
            return _ABSENT
        found = obj.at("status.phase")
        return "" if found in phases else f"phase is {found or 'not set'}"

    return Condition(f"phase is {' or '.join(phases)}", why_not)


def labelled(selector: SelectorInput) -> Condition:
    """Return the condition that the object's labels match a selector, such as "app=web,tier!=cache".

    Raises:
        SelectorError: the selector does not parse.
    """
    wanted = LabelSelector.parse(selector)

    def why_not(obj: KubeObject | None) -> str:
        if obj is None:
            return _ABSENT
        return "" if wanted.matches(obj.labels) else f"its labels do not match {wanted}"

    return Condition(f"its labels match {wanted}", why_not)


def rolled_out() -> Condition:
    """Return the condition that a Deployment, StatefulSet or DaemonSet is rolled out (see `kubectl rollout status`).

    The error of a wait also shows that a Deployment has exceeded its progress deadline. That does not end the wait,
    because Kubernetes keeps trying. To end it, use `rolled_out() | condition_is("Progressing", "False")`.

    The condition raises `TypeError` for an object of another kind.
    """

    def why_not(obj: KubeObject | None) -> str:
        if obj is None:
            return _ABSENT
        rule = _ROLLOUTS.get((obj.resource.group, obj.resource.kind))
        if rule is None:
            msg = f"{obj.resource.qualified} are not rolled out: Deployments, StatefulSets and DaemonSets are"
            raise TypeError(msg)
        status = obj.get("status") or {}
        if (obj.generation or 0) > (status.get("observedGeneration") or 0):
            return "its spec has not been looked at yet"
        return rule(obj, status)

    return Condition("it is rolled out", why_not)


# kubectl, pkg/polymorphichelpers/rollout_status.go


def _deployment(obj: KubeObject, status: Mapping[str, Any]) -> str:
    wanted = _number(obj.at("spec.replicas"), 1)
    replicas, updated, available = (
        _number(status.get(name)) for name in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if updated < wanted:
        reason = f"{updated} of {wanted} replicas are updated"
    elif replicas > updated:
        reason = f"{replicas - updated} old replicas are yet to end"
    elif available < updated:
        reason = f"{available} of {updated} updated replicas are available"
    else:
        return ""
    progress = find_condition(obj, "Progressing") or {}
    late = progress.get("reason") == "ProgressDeadlineExceeded"
    return f"{reason}, and it has exceeded its progress deadline" if late else reason


def _stateful_set(obj: KubeObject, status: Mapping[str, Any]) -> str:
    wanted = _number(obj.at("spec.replicas"), 1)
    ready, updated = (_number(status.get(name)) for name in ("readyReplicas", "updatedReplicas"))
    if ready < wanted:
        return f"{ready} of {wanted} replicas are ready"
    partition = _number(obj.at("spec.updateStrategy.rollingUpdate.partition"))
    if partition:
        return "" if updated >= wanted - partition else f"{updated} of {wanted - partition} replicas are updated"
    if status.get("updateRevision") != status.get("currentRevision"):
        return f"{updated} of {wanted} replicas are updated"
    return ""


def _daemon_set(obj: KubeObject, status: Mapping[str, Any]) -> str:
    del obj
    wanted, updated, available = (
        _number(status.get(name)) for name in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    )
    if updated < wanted:
        return f"{updated} of {wanted} pods are updated"
    return "" if available >= wanted else f"{available} of {wanted} pods are available"


_ROLLOUTS: Final[dict[tuple[str, str], Callable[[KubeObject, Mapping[str, Any]], str]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
}


def _as_condition(predicate: Callable[[KubeObject | None], object]) -> Condition:
    if isinstance(predicate, Condition):
        return predicate
    name = getattr(predicate, "__qualname__", type(predicate).__qualname__)
    name = f"{name} holds"
    return Condition(name, lambda obj: "" if predicate(obj) else _ABSENT if obj is None else f"not: {name}")


def _number(value: Any, default: int = 0) -> int:
    return default if value is None else int(value)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return "something else"
    text = "not set" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
