"""The values of Secrets, which are shown only to those who ask for them.

kubectl prints them, encoded, with `-o yaml`. Here they are hidden in every form, because terminals are shared,
recorded and scrolled back; `--show-secrets` shows them. What is hidden cannot be taken for a value by mistake:
`<redacted>` is no base64, so an API server refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["HIDDEN", "is_secret", "manifest_of"]

HIDDEN: Final = "<redacted>"

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def is_secret(obj: KubeObject) -> bool:
    """Whether an object has values to hide."""
    return obj.resource.plural == "secrets" and not obj.resource.group


def manifest_of(obj: KubeObject, *, show_secrets: bool) -> dict[str, Any]:
    """The object's manifest, `kind` and `apiVersion` first; a Secret's without its values unless they may be shown."""
    manifest = {"apiVersion": obj.resource.api_version, "kind": obj.resource.kind} | obj.to_dict()
    if show_secrets or not is_secret(obj):
        return manifest
    for part in ("data", "stringData"):
        if isinstance(manifest.get(part), dict):
            manifest[part] = dict.fromkeys(manifest[part], HIDDEN)
    annotations = manifest.get("metadata", {}).get("annotations")
    if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
        # kubectl's copy of what was applied has them, too.
        annotations[_LAST_APPLIED] = HIDDEN
    return manifest
