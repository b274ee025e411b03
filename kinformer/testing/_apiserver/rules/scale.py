"""The scale subresource: an `autoscaling/v1` Scale, which is the number of replicas under another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.rules.bodies import of_kind
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.structure import builtin_type

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["applied_scale", "read_scale", "written_scale"]

_API_VERSION = "autoscaling/v1"


def read_scale(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """The Scale of a workload, or of a custom resource whose CRD names the paths of its fields."""
    metadata = manifest["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    paths = _paths(kind)
    replicas = _at(manifest, paths["specReplicasPath"])
    selector = _at(manifest, paths["labelSelectorPath"]) if kind.custom else _selector(manifest)
    state = {"replicas": _number(_at(manifest, paths["statusReplicasPath"]))}
    return {
        "kind": "Scale",
        "apiVersion": _API_VERSION,
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        # Go leaves out a number of 0 here.
        "spec": {"replicas": _number(replicas)} if _number(replicas) else {},
        "status": state | ({"selector": selector} if isinstance(selector, str) and selector else {}),
    }


def written_scale(kind: ResourceType, manifest: dict[str, Any], body: Any) -> dict[str, Any]:
    """The object after its Scale was written.

    Raises:
        Refusal: 400 for a body that is no Scale, 422 for a number of replicas that makes no sense.
    """
    scale = of_kind(body, "Scale", _API_VERSION, builtin_type("autoscaling/v1.Scale"))
    given, name = scale.get("metadata") or {}, manifest["metadata"]["name"]
    if not given.get("name"):
        msg = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(msg)
    if given["name"] != name:
        msg = f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(msg)
    changed = _with_replicas(kind, manifest, _checked_replicas(scale, name))
    identity = {field: given[field] for field in ("uid", "resourceVersion") if given.get(field)}
    return changed | {"metadata": changed["metadata"] | identity}


def applied_scale(kind: ResourceType, name: str, body: Any) -> dict[str, Any]:
    """The configuration of the object that an applied Scale stands for.

    Raises:
        Refusal: 400 for a body that is no Scale, 422 for a number of replicas that makes no sense.
    """
    scale = of_kind(body, "Scale", _API_VERSION, builtin_type("autoscaling/v1.Scale"))
    empty = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
    return _with_replicas(kind, empty, _checked_replicas(scale, name))


def _checked_replicas(scale: dict[str, Any], name: str) -> int:
    replicas = int((scale.get("spec") or {}).get("replicas", 0))
    if replicas < 0:
        cause = ("FieldValueInvalid", f"Invalid value: {replicas}: must be greater than or equal to 0", "spec.replicas")
        raise status.invalid("Scale", name, [cause], group="autoscaling")
    return replicas


def _paths(kind: ResourceType) -> dict[str, str]:
    """The JSON paths of the fields of a Scale."""
    if kind.definition is None:
        return {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ""}
    given = (kind.definition.get("subresources") or {}).get("scale") or {}
    return {"specReplicasPath": "", "statusReplicasPath": "", "labelSelectorPath": ""} | given


def _steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def _at(manifest: dict[str, Any], path: str) -> Any:
    value: Any = manifest
    for step in _steps(path):
        value = value.get(step) if isinstance(value, dict) else None
    return value if path else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _with_replicas(kind: ResourceType, manifest: dict[str, Any], replicas: int) -> dict[str, Any]:
    """A copy in which only the number of replicas is another."""
    result = dict(manifest)
    at = result
    *way, last = _steps(_paths(kind)["specReplicasPath"])
    for step in way:
        below = at.get(step)
        at[step] = dict(below) if isinstance(below, dict) else {}
        at = at[step]
    at[last] = replicas
    return result


def _selector(manifest: dict[str, Any]) -> str:
    """The selector of a workload as text (apimachinery meta/v1, LabelSelectorAsSelector)."""
    selector = (manifest.get("spec") or {}).get("selector") or {}
    if all(isinstance(value, str) for value in selector.values()):
        # That of a ReplicationController is a map of labels.
        selector = {"matchLabels": selector}
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        key, values = term.get("key", ""), ",".join(sorted(term.get("values") or ()))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        terms.append((key, forms.get(term.get("operator", ""), key)))
    return ",".join(text for _, text in sorted(terms))
