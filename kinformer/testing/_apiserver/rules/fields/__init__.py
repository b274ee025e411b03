"""The rules for the fields of built-in kinds, by the struct that has the field.

A struct that several kinds have, as a toleration, is judged wherever it stands. A field with a closed set of values (an
enum of OpenAPI) needs no rule of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import one_of
from kinformer.testing._apiserver.rules.fields import access, cluster, networking, pods, scaling
from kinformer.testing._apiserver.schemas.go_types import Types

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.schemas.go_types import Field, Struct
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_fields"]

_RULES: Final[dict[str, tuple[Rule, ...]]] = (
    pods.RULES | cluster.RULES | networking.RULES | scaling.RULES | access.RULES
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
}
"""The enums that are judged by rules, as their refusals are no mere lists of values; or that are not judged."""

_PLACES: Final = {("core/v1.NodeSpec", "taints"): "metadata.taints"}
"""The paths that Kubernetes gives to fields which stand elsewhere."""

_NOT_JUDGED: Final = {"metadata", "status", "kind", "apiVersion"}


def check_fields(kind: ResourceType, manifest: dict[str, Any], found: Sequence[Cause]) -> list[Cause]:
    """Return the causes why the fields of an object are refused.

    Args:
        kind: a built-in kind.
        manifest: the object, as it was sent: fields with defaults may be absent.
        found: the causes that were found before; a value that they refuse is not refused a second time.
    """
    struct = Types.of().kind(kind.api_version, kind.kind)
    if struct is None:
        return []
    refused = {(reason, path) for reason, _, path in found}
    return [cause for cause in _of_struct(struct, manifest, "") if (cause[0], cause[2]) not in refused]


def _of_struct(struct: Struct, value: dict[str, Any], path: str) -> Iterator[Cause]:
    for rule in _RULES.get(struct.key, ()):
        yield from rule(value, path)
    for name, field in struct.by_name.items():
        if not path and name in _NOT_JUDGED:
            continue
        at = _PLACES.get((struct.key, name)) or (f"{path}.{name}" if path else name)
        given = value.get(name)
        if field.enum and (struct.key, name) not in _JUDGED_BY_RULE:
            yield from _enum(struct, field, given, at)
        yield from _below(field, given, at)


def _enum(struct: Struct, field: Field, given: Any, path: str) -> Iterator[Cause]:
    # An empty text that is no pointer is an absent one.
    if given is None or (given == "" and field.type.form != "pointer"):
        return
    allowed = _ENUMS.get((struct.key, field.name), field.enum)
    if given not in allowed:
        yield one_of(path, given, allowed)


def _below(field: Field, given: Any, path: str) -> Iterator[Cause]:
    target = field.type.target
    if target.form == "struct" and target.struct is not None and not target.struct.custom:
        if isinstance(given, dict):
            yield from _of_struct(target.struct, given, path)
        elif given is None and field.type.form == "struct":
            # A struct that is no pointer is there, and empty.
            yield from _of_struct(target.struct, {}, path)
    elif target.form == "slice" and isinstance(given, list):
        element = target.element.target.struct
        if element is not None and not element.custom:
            for index, item in enumerate(given):
                if isinstance(item, dict):
                    yield from _of_struct(element, item, f"{path}[{index}]")
