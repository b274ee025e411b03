"""The rules for the fields of built-in kinds, by the struct that has the field.

A struct that several kinds have, as a toleration, is judged wherever it stands. A field with a closed set of values (an
enum of OpenAPI) needs no rule of its own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.causes import one_of
from kinformer.testing._apiserver.rules.fields import (
    access,
    cluster,
    containers,
    networking,
    newer,
    pods,
    scaling,
    scheduling,
    services,
    volumes,
    workloads,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.schemas.go_types import Struct
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_fields"]


_POLICIES: Final = (
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBindingSpec",
    "MutatingAdmissionPolicySpec",
    "MutatingAdmissionPolicyBindingSpec",
)
"""The structs whose rules are those of `policies`."""


def _of_policy(struct: str) -> Rule:
    """The rules of a struct of `policies`, which is imported with the first policy: it needs all modules of CEL."""

    def judge(value: Any, path: str) -> Iterator[Cause]:
        from kinformer.testing._apiserver.rules.fields import policies

        for rule in policies.RULES[f"admissionregistration/v1.{struct}"]:
            yield from rule(value, path)

    return judge


def _joined(*tables: dict[str, tuple[Rule, ...]]) -> dict[str, tuple[Rule, ...]]:
    joined: dict[str, tuple[Rule, ...]] = {}
    for table in tables:
        for key, rules in table.items():
            joined[key] = joined.get(key, ()) + rules
    return joined


_RULES: Final = _joined(
    volumes.RULES,
    containers.RULES,
    pods.RULES,
    scheduling.RULES,
    workloads.RULES,
    cluster.RULES,
    services.RULES,
    networking.RULES,
    scaling.RULES,
    access.RULES,
    {f"admissionregistration/v1.{struct}": (_of_policy(struct),) for struct in _POLICIES},
    newer.RULES,
)
_ENUMS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("core/v1.PodSpec", "restartPolicy"): ("Always", "OnFailure", "Never"),
    ("core/v1.PodSpec", "dnsPolicy"): ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    ("core/v1.PodSpec", "preemptionPolicy"): ("PreemptLowerPriority", "Never"),
    ("scheduling/v1.PriorityClass", "preemptionPolicy"): ("PreemptLowerPriority", "Never"),
    ("core/v1.Container", "terminationMessagePolicy"): ("File", "FallbackToLogsOnError"),
    ("core/v1.EphemeralContainerCommon", "terminationMessagePolicy"): ("File", "FallbackToLogsOnError"),
    ("core/v1.Toleration", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("core/v1.Toleration", "operator"): ("Equal", "Exists"),
    ("core/v1.Taint", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("batch/v1.JobSpec", "completionMode"): ("NonIndexed", "Indexed"),
    ("networking/v1.NetworkPolicyPort", "protocol"): ("TCP", "UDP", "SCTP"),
    ("storage/v1.StorageClass", "reclaimPolicy"): ("Delete", "Retain"),
    **{
        (f"admissionregistration/v1.{kind}Webhook", "sideEffects"): ("None", "NoneOnDryRun")
        for kind in ("Mutating", "Validating")
    },
}
"""The values that a refusal names, where they are others than in OpenAPI, or in another order."""

_JUDGED_BY_RULE: Final = {
    ("apps/v1.DeploymentStrategy", "type"),
    ("apps/v1.DaemonSetUpdateStrategy", "type"),
    ("apps/v1.StatefulSetUpdateStrategy", "type"),
    ("apps/v1.StatefulSetSpec", "podManagementPolicy"),
    ("core/v1.NodeSelectorRequirement", "operator"),
    ("core/v1.TopologySpreadConstraint", "whenUnsatisfiable"),
    ("core/v1.Lifecycle", "stopSignal"),
    ("core/v1.PodOS", "name"),
}
"""The enums that are judged by rules, as their refusals are no mere lists of values; or that are not judged."""

_PLACES: Final = {("core/v1.NodeSpec", "taints"): "metadata.taints"}
"""The paths that Kubernetes gives to fields which stand elsewhere."""

_TOO_MANY: Final = "may not specify more than 1 "
_NOT_JUDGED: Final = {"metadata", "status", "kind", "apiVersion"}


def check_fields(kind: ResourceType, manifest: dict[str, Any], found: Sequence[Cause]) -> list[Cause]:
    """Return the causes why the fields of an object are refused.

    Args:
        kind: a built-in kind.
        manifest: the object, as it was sent: fields with defaults may be absent.
        found: the causes that were found before; a value that they refuse is not refused a second time.
    """
    struct = kind.types.kind(kind.api_version, kind.kind)
    if struct is None:
        return []
    refused = {(reason, path) for reason, _, path in found}
    causes = [cause for cause in _of_struct(struct, manifest, "") if (cause[0], cause[2]) not in refused]
    # A further member of a union is refused as a whole.
    whole = tuple(f"{path}." for _, message, path in (*found, *causes) if _TOO_MANY in message)
    return [cause for cause in causes if not cause[2].startswith(whole)] if whole else causes


class _Place(NamedTuple):
    """A field that is judged: by its closed set of values, or by the rules of the structs below it."""

    name: str
    path: str
    allowed: tuple[str, ...]
    is_pointer: bool
    below: Struct | None
    is_list: bool
    is_value: bool


@cache
def _plan(struct: Struct) -> tuple[tuple[Rule, ...], tuple[_Place, ...]]:
    """The rules of a struct, and its fields that are judged, in their order."""
    places = []
    for name, field in struct.by_name.items():
        key = (struct.key, name)
        allowed = () if key in _JUDGED_BY_RULE else _ENUMS.get(key, field.enum)
        target = field.type.target
        is_list = target.form == "slice"
        below = (target.element.target if is_list else target).struct
        if below is not None and (below.custom or not _matters(below)):
            below = None
        if allowed or below is not None:
            is_value = not is_list and field.type.form == "struct"
            is_pointer = field.type.form == "pointer"
            places.append(_Place(name, _PLACES.get(key, ""), allowed, is_pointer, below, is_list, is_value))
    return _RULES.get(struct.key, ()), tuple(places)


@cache
def _matters(struct: Struct) -> bool:
    """Report whether there is a rule or a closed set of values in a struct, or below it."""
    seen: set[str] = set()
    left = [struct]
    while left:
        one = left.pop()
        if one.key in seen:
            continue
        seen.add(one.key)
        if one.key in _RULES or any(field.enum for field in one.by_name.values()):
            return True
        for field in one.by_name.values():
            target = field.type.target
            below = (target.element.target if target.form == "slice" else target).struct
            if below is not None and not below.custom:
                left.append(below)
    return False


def _of_struct(struct: Struct, value: dict[str, Any], path: str) -> Iterator[Cause]:
    rules, places = _plan(struct)
    for rule in rules:
        yield from rule(value, path)
    for place in places:
        given = value.get(place.name)
        if (given is None and not place.is_value) or (not path and place.name in _NOT_JUDGED):
            continue
        at = place.path or (f"{path}.{place.name}" if path else place.name)
        # An empty text that is no pointer is an absent one.
        if place.allowed and given not in place.allowed and (given or place.is_pointer):
            yield one_of(at, given, place.allowed)
        if place.below is None:
            continue
        if place.is_list:
            for index, item in enumerate(given or ()):
                if isinstance(item, dict):
                    yield from _of_struct(place.below, item, f"{at}[{index}]")
        elif given is None or isinstance(given, dict):
            # A struct that is no pointer is there, and empty.
            yield from _of_struct(place.below, given or {}, at)
