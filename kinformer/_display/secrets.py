"""Manifests as people may see them: the only module that returns a manifest for display.

The command line and the web UI print `shown(obj)` or compare `shown_pair(old, new)`; they never read the bytes of an
object themselves. Values of a Secret are replaced by their sizes first, because terminals are shared, recorded and
scrolled back. A size cannot be mistaken for a value: `<12 bytes, not shown>` is not base64, so an API server refuses
it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["is_secret", "shown", "shown_json", "shown_pair"]

_NOT_SHOWN: Final = "<not shown>"

_VALUES: Final = ("data", "stringData")

_PLAIN: Final = frozenset({"apiVersion", "kind", "metadata", "type", "immutable", *_VALUES})
"""Fields of a Secret whose shape is known. Any other field may hold a value, so it is not shown."""


def is_secret(obj: KubeObject) -> bool:
    """Return whether the object is a Secret, so that its values are hidden."""
    return obj.resource.plural == "secrets" and not obj.resource.group


def shown(obj: KubeObject, *, show_secrets: bool = False) -> dict[str, Any]:
    """Return the manifest as it may be shown, `apiVersion` and `kind` first.

    For a Secret, `data`, `stringData` and all annotations are reduced to names and sizes. Annotations are included
    because tools keep copies of the whole manifest in them (kubectl's last-applied-configuration, kapp's original), and
    no list of such names is ever complete. Sizes in `data` are those of the decoded values.

    Args:
        obj: the object.
        show_secrets: show the values of a Secret, too.
    """
    manifest = {"apiVersion": obj.resource.api_version, "kind": obj.resource.kind} | obj.to_dict()
    return manifest if show_secrets or not is_secret(obj) else _redacted(manifest)


def shown_json(obj: KubeObject, *, show_secrets: bool = False) -> bytes:
    """Return `shown(obj)` as JSON on one line; the bytes of the cache if nothing is hidden."""
    raw = obj.to_json()
    if b"\n" in raw or (is_secret(obj) and not show_secrets):
        return msgspec.json.encode(shown(obj, show_secrets=show_secrets))
    return raw


def shown_pair(
    old: KubeObject, new: KubeObject, *, show_secrets: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two states of an object as they may be shown; they differ in each field in which the states differ.

    A hidden value that changed and kept its size becomes `<12 bytes, not shown, changed>` in the later state.
    """
    before, after = shown(old, show_secrets=show_secrets), shown(new, show_secrets=show_secrets)
    if is_secret(new) and not show_secrets:
        after = _with_changes_marked(old.to_dict(), new.to_dict(), before, after)
    return before, after


def _redacted(manifest: dict[str, Any]) -> dict[str, Any]:
    safe = {name: value if name in _PLAIN else _NOT_SHOWN for name, value in manifest.items()}
    for name in _VALUES:
        if name in safe:
            safe[name] = _sizes(safe[name], encoded=name == "data")
    metadata = safe.get("metadata")
    if isinstance(metadata, dict) and "annotations" in metadata:
        safe["metadata"] = metadata | {"annotations": _sizes(metadata["annotations"], encoded=False)}
    elif metadata is not None and not isinstance(metadata, dict):
        safe["metadata"] = _NOT_SHOWN
    return safe


def _sizes(values: Any, *, encoded: bool) -> Any:
    if values is None:
        return None
    if not isinstance(values, dict):
        return _NOT_SHOWN
    return {name: f"<{_size(value, encoded=encoded)} bytes, not shown>" for name, value in values.items()}


def _size(value: Any, *, encoded: bool) -> int:
    text = str(value)
    if encoded:
        try:
            return len(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            pass
    return len(text.encode(errors="surrogatepass"))


def _with_changes_marked(old: Any, new: Any, before: Any, after: Any) -> Any:
    """Return `after`, in which each hidden value that changed differs from the one in `before`.

    Args:
        old: the earlier state.
        new: the later state.
        before: the redacted form of `old`.
        after: the redacted form of `new`.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        was, now = (value if isinstance(value, dict) else {} for value in (old, new))
        return {
            name: _with_changes_marked(was.get(name), now.get(name), before.get(name), value)
            for name, value in after.items()
        }
    if isinstance(after, str) and after == before and old != new:
        return f"{after.removesuffix('>')}, changed>"
    return after
