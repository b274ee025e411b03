"""Fields of a manifest that are no attributes of an object: reading one as an attribute names the way to read it.

A `__getattr__` would cover every name, but a class that has one loses the fast access to all its other attributes, in
each release of CPython: `lister.get` and the views of handlers took twice as long with it.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

__all__ = ["MANIFEST_FIELDS", "ManifestField"]

_METADATA: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "managedFields",
    "selfLink",
)

# The sections of built-in kinds (the types of k8s.io/api), and of custom resources.
_TOP_LEVEL: Final = (
    "addressType",
    "aggregationRule",
    "automountServiceAccountToken",
    "binaryData",
    "data",
    "description",
    "endpoints",
    "eventTime",
    "globalDefault",
    "handler",
    "immutable",
    "imagePullSecrets",
    "involvedObject",
    "message",
    "note",
    "parameters",
    "ports",
    "preemptionPolicy",
    "provisioner",
    "reason",
    "reclaimPolicy",
    "regarding",
    "roleRef",
    "rules",
    "secrets",
    "spec",
    "status",
    "stringData",
    "subjects",
    "subsets",
    "template",
    "type",
    "value",
    "volumeBindingMode",
    "webhooks",
)

_PATHS: Final = {name: name for name in _TOP_LEVEL} | {name: f"metadata.{name}" for name in _METADATA}


def _snake(name: str) -> str:
    """Return the Python spelling of a JSON name: `creationTimestamp` is `creation_timestamp`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


class ManifestField:
    """An attribute that is not there; its error names the way to read the field.

    Args:
        name: the attribute.
        path: the field's path in the manifest.
    """

    __slots__ = ("_name", "_path")

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path

    def __get__(self, instance: object, owner: type[Any]) -> NoReturn:
        """Refuse to read the attribute.

        Raises:
            AttributeError: always, so `hasattr` is false.
        """
        shown = 'obj["' + '"]["'.join(self._path.split(".")) + '"]'
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self._name!r}: fields of the manifest are read as {shown}, "
            f"or as obj.at({self._path!r})",
            name=self._name,
            obj=instance,
        )


MANIFEST_FIELDS: Final = {
    name: ManifestField(name, path) for field, path in _PATHS.items() for name in (field, _snake(field))
}
"""The attributes that are not there, by name, in the spellings of JSON and of Python."""
