"""The rules for the specs of workloads and jobs (pkg/apis/apps and batch, validation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required, too_many
from kinformer.testing._apiserver.rules.fields.terms import (
    among_if_given,
    at_least,
    at_most_all,
    label,
    on,
    qualified,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Check, Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES", "count_indexes"]

_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_STATES: Final = ("False", "True", "Unknown")
_MOST_RULES: Final = 20
_MOST_CODES: Final = 255
_MOST_PARALLEL: Final = 100_000
"""Pods at once of a job with indexes, and failed indexes of one."""

_MANY_COMPLETIONS: Final = 100_000
_FEW_FAILURES: Final = 10_000
_FEW_PARALLEL: Final = 10_000
_RETENTION: Final = among_if_given("Retain", "Delete")


def _is_none(value: Any) -> bool:
    """Report whether a count or a percentage is 0."""
    return not value or value == "0%" or (isinstance(value, str) and not value.rstrip("%").isdecimal())


def _no_deadline(kind: str) -> Check:
    """The pods of a kind run for ever."""

    def check(value: Any, path: str) -> Iterator[Cause]:
        if ((value or {}).get("spec") or {}).get("activeDeadlineSeconds") is not None:
            why = f"activeDeadlineSeconds in {kind} is not Supported"
            yield forbidden(f"{path}.spec.activeDeadlineSeconds", why)

    return check


def _rolling_daemons(value: dict[str, Any], path: str) -> Iterator[Cause]:
    unavailable, surge = value.get("maxUnavailable", 1), value.get("maxSurge", 0)
    for field, given in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from share(given, f"{path}.{field}")
        yield from at_most_all(given, f"{path}.{field}")
    if _is_none(unavailable) and _is_none(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    elif not _is_none(unavailable) and not _is_none(surge):
        yield invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")


def _stateful_strategy(value: dict[str, Any], path: str) -> Iterator[Cause]:
    strategy = value.get("updateStrategy") or {}
    kind, rolling = strategy.get("type") or "RollingUpdate", strategy.get("rollingUpdate")
    at = f"{path}.updateStrategy"
    shown = None
    if rolling is not None:
        shown = {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
    if kind not in {"RollingUpdate", "OnDelete"}:
        yield invalid_value(at, {"Type": kind, "RollingUpdate": shown}, "must be 'RollingUpdate' or 'OnDelete'")
    elif kind == "OnDelete" and rolling is not None:
        yield invalid_value(f"{at}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        yield from at_least(0)(rolling.get("partition"), f"{at}.rollingUpdate.partition")


def _ordinals(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from at_least(0)((value.get("ordinals") or {}).get("start"), f"{path}.ordinals.start")


def _job(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("completionMode") == "Indexed":
        yield from _indexed(value, path)
    elif value.get("successPolicy") is not None:
        shown = {"Rules": _shown_rules(value["successPolicy"])}
        yield invalid_value(f"{path}.successPolicy", shown, "requires indexed completion mode")
    policy = value.get("podFailurePolicy")
    if policy is not None:
        yield from _failure_policy(value, policy, f"{path}.podFailurePolicy")
        restart = ((value.get("template") or {}).get("spec") or {}).get("restartPolicy")
        if restart == "OnFailure":
            why = 'only "Never" is supported when podFailurePolicy is specified'
            yield invalid_value(f"{path}.template.spec.restartPolicy", restart, why)
        replacement = value.get("podReplacementPolicy")
        if replacement == "TerminatingOrFailed":
            yield one_of(f"{path}.podReplacementPolicy", replacement, ("Failed",))


def _shown_rules(policy: dict[str, Any]) -> list[dict[str, Any]] | None:
    rules = policy.get("rules")
    if rules is None:
        return None
    fields = {"SucceededIndexes": "succeededIndexes", "SucceededCount": "succeededCount"}
    return [{go: rule.get(field) for go, field in fields.items()} for rule in rules]


def _indexed(value: dict[str, Any], path: str) -> Iterator[Cause]:
    completions, parallel = value.get("completions"), value.get("parallelism")
    failed, per_index = value.get("maxFailedIndexes"), value.get("backoffLimitPerIndex")
    if completions is None and parallel is not None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    # With neither, both are 1 (SetDefaults_Job).
    completions = 1 if completions is None and parallel is None else completions
    if parallel is not None and parallel > _MOST_PARALLEL:
        why = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
        yield invalid_value(f"{path}.parallelism", parallel, why)
    if failed is not None:
        if completions is not None and failed > completions:
            yield invalid_value(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > _MOST_PARALLEL:
            yield invalid_value(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_MOST_PARALLEL}")
    if completions is not None and completions > _MANY_COMPLETIONS and per_index is not None:
        yield from _many_completions(failed, parallel, path)
    if (policy := value.get("successPolicy")) is not None:
        yield from _success_policy(policy, completions or 0, f"{path}.successPolicy")


def _many_completions(failed: int | None, parallel: int | None, path: str) -> Iterator[Cause]:
    many = f"when completions are above {_MANY_COMPLETIONS} and used with backoff limit per index"
    if failed is None:
        why = f"must be specified when completions is above {_MANY_COMPLETIONS}"
        yield required(f"{path}.maxFailedIndexes", why)
    if parallel is not None and parallel > _FEW_PARALLEL:
        why = f"must be less than or equal to {_FEW_PARALLEL} {many}"
        yield invalid_value(f"{path}.parallelism", parallel, why)
    if failed is not None and failed > _FEW_FAILURES:
        why = f"must be less than or equal to {_FEW_FAILURES} {many}"
        yield invalid_value(f"{path}.maxFailedIndexes", failed, why)


def _failure_policy(job: dict[str, Any], policy: dict[str, Any], path: str) -> Iterator[Cause]:
    rules = policy.get("rules") or []
    pod = (job.get("template") or {}).get("spec") or {}
    names = {one.get("name") for field in ("containers", "initContainers") for one in pod.get(field) or ()}
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        at, action = f"{path}.rules[{index}]", rule.get("action") or ""
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if not action:
            yield required(f"{at}.action", f"valid values: {_listed(_ACTIONS)}")
        elif action == "FailIndex" and job.get("backoffLimitPerIndex") is None:
            yield invalid_value(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
        if codes is not None:
            yield from _exit_codes(codes, f"{at}.onExitCodes", names)
        for number, condition in enumerate(conditions):
            yield from _condition(condition, f"{at}.onPodConditions[{number}]")
        if codes is not None and conditions:
            yield _without_value(at, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            yield _without_value(at, "specifying one of OnExitCodes and OnPodConditions is required")


def _listed(values: tuple[str, ...]) -> str:
    """Values as Go shows a list of texts."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _without_value(path: str, why: str) -> Cause:
    return "FieldValueInvalid", f"Invalid value: {why}", path


def _condition(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from qualified(value.get("type") or "", f"{path}.type")
    status = value.get("status")
    if status and status not in _STATES:
        yield one_of(f"{path}.status", status, _STATES)


def _exit_codes(value: dict[str, Any], path: str, names: set[Any]) -> Iterator[Cause]:
    operator, codes = value.get("operator") or "", value.get("values") or []
    if not operator:
        yield required(f"{path}.operator", f"valid values: {_listed(('In', 'NotIn'))}")
    name = value.get("containerName")
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield invalid_value(f"{path}.containerName", name, why)
    if not codes:
        yield invalid_value(f"{path}.values", value.get("values"), "at least one value is required")
    elif len(codes) > _MOST_CODES:
        yield too_many(f"{path}.values", len(codes), _MOST_CODES)
    for index, code in enumerate(codes):
        if operator == "In" and code == 0:
            yield invalid_value(f"{path}.values[{index}]", code, "must not be 0 for the In operator")
        if code in codes[:index]:
            yield duplicate(f"{path}.values[{index}]", code)
    if codes != sorted(codes):
        yield invalid_value(f"{path}.values", codes, "must be ordered")


def _success_policy(policy: dict[str, Any], completions: int, path: str) -> Iterator[Cause]:
    rules = policy.get("rules") or []
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        yield required(f"{path}.rules", why)
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _success_rule(rule, completions, f"{path}.rules[{index}]")


def _success_rule(rule: dict[str, Any], completions: int, path: str) -> Iterator[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        total, why = count_indexes(indexes, completions)
        if why:
            yield invalid_value(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {why}")
    if count is None:
        return
    at = f"{path}.succeededCount"
    yield from at_least(0)(count, at)
    if count > completions:
        why = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid_value(at, count, why)
    if indexes is not None and count > total:
        why = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        yield invalid_value(at, count, why)


def count_indexes(text: str, completions: int) -> tuple[int, str]:
    """Return how many indexes a text as "0-2,5" names, and the fault of it."""
    total, last = 0, -1
    for interval in text.split(",") if text else ():
        parts = interval.split("-")
        if len(parts) > 2:
            rule = "an index interval can have at most two parts separated by '-'"
            return 0, f'the fragment "{interval}" violates the requirement that {rule}'
        numbers = []
        for part in parts:
            if not part.isdecimal() or not part.isascii():
                return 0, f'cannot convert string to integer for index: "{part}"'
            if int(part) >= completions:
                return 0, f'too large index: "{part}"'
            numbers.append(int(part))
        first, end = numbers[0], numbers[-1]
        if len(numbers) > 1 and first >= end:
            return 0, f"non-increasing order, previous: {first}, current: {end}"
        if last >= first:
            return 0, f"non-increasing order, previous: {last}, current: {first}"
        total, last = total + end - first + 1, end
    return total, ""


def _indexed_name(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the name of a job whose pods have hostnames of its name and their index."""
    del path
    spec, name = value.get("spec") or {}, (value.get("metadata") or {}).get("name") or ""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        hostname = f"{name}-{completions - 1}"
        if [*label(hostname, "")]:
            why = f"will not able to create pod with invalid DNS label: {hostname}"
            yield invalid_value("metadata.name", name, why)


def _job_template(value: dict[str, Any], path: str) -> Iterator[Cause]:
    spec = value.get("spec") or {}
    if spec.get("selector") is not None:
        yield invalid_value(f"{path}.spec.selector", spec["selector"], "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield one_of(f"{path}.spec.manualSelector", True, ("nil", "false"))


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "apps/v1.DeploymentSpec": (on("template", _no_deadline("ReplicaSet")),),
    "apps/v1.ReplicaSetSpec": (on("template", _no_deadline("ReplicaSet")),),
    "apps/v1.StatefulSetSpec": (on("template", _no_deadline("StatefulSet")), _stateful_strategy, _ordinals),
    "apps/v1.DaemonSetSpec": (on("template", _no_deadline("DaemonSet")),),
    "core/v1.ReplicationControllerSpec": (on("template", _no_deadline("ReplicationController")),),
    "apps/v1.StatefulSetPersistentVolumeClaimRetentionPolicy": (
        on("whenDeleted", _RETENTION),
        on("whenScaled", _RETENTION),
    ),
    "apps/v1.RollingUpdateDeployment": (
        on("maxUnavailable", share, at_most_all),
        on("maxSurge", share),
    ),
    "apps/v1.RollingUpdateDaemonSet": (_rolling_daemons,),
    "batch/v1.Job": (_indexed_name,),
    "batch/v1.JobSpec": (_job,),
    "batch/v1.JobTemplateSpec": (_job_template,),
    "policy/v1.PodDisruptionBudgetSpec": (on("minAvailable", share), on("maxUnavailable", share)),
}
