"""`Conversions`: several versions of a custom resource, and pure functions that convert between them.

conversions = Conversions(Website)                      # the stored version

@conversions.add(WebsiteV1Beta1)
def up(old: WebsiteV1Beta1) -> Website: ...

@conversions.add_back(WebsiteV1Beta1)
def down(new: Website) -> WebsiteV1Beta1: ...
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from kinformer._object_classes import decoder_of, reason_of
from kinformer._survivable import is_survivable
from kinformer.custom_resources.definition import crd, manifest_of, resource_of
from kinformer.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.resources import Resource

__all__ = ["Conversions"]

F = TypeVar("F", bound="Callable[[Any], Any]")


class Conversions:
    """The versions of one custom resource, and the functions that convert between them.

    Each version has two functions: to the stored version, and back. Between two other versions an object goes through
    the stored one. The functions are pure: they depend on the object alone, and are called in any order.

    The metadata of an object stays as it is, except for labels and annotations.

    Args:
        stored: the class of the version that is stored.

    Raises:
        TypeError: the class is no custom resource.
    """

    def __init__(self, stored: type) -> None:
        self._stored = stored
        self._resource = resource_of(stored)
        self._classes: dict[str, type] = {self._resource.version: stored}
        # Making a decoder takes longer than decoding.
        self._decoders: dict[str, Callable[[bytes], Any]] = {self._resource.version: decoder_of(stored)}
        self._to_stored: dict[str, Callable[[Any], Any]] = {}
        self._from_stored: dict[str, Callable[[Any], Any]] = {}

    def __repr__(self) -> str:
        return f"<Conversions of {self._resource.qualified} versions={self.versions}>"

    @property
    def resource(self) -> Resource:
        """The resource, in the version that is stored."""
        return self._resource

    @property
    def versions(self) -> tuple[str, ...]:
        """The names of the versions, the stored one first."""
        return tuple(self._classes)

    @property
    def classes(self) -> tuple[type, ...]:
        """The classes of the versions, the stored one first."""
        return tuple(self._classes.values())

    def add(self, version: type) -> Callable[[F], F]:
        """Take a function that makes an object of the stored version from one of another version.

        Raises:
            ValueError: the class is no version of this resource, or has such a function.
        """
        return self._take(version, self._to_stored)

    def add_back(self, version: type) -> Callable[[F], F]:
        """Take a function that makes an object of another version from one of the stored version.

        Raises:
            ValueError: the class is no version of this resource, or has such a function.
        """
        return self._take(version, self._from_stored)

    def _take(self, version: type, functions: dict[str, Callable[[Any], Any]]) -> Callable[[F], F]:
        resource = resource_of(version)
        name = resource.version
        if resource.qualified != self._resource.qualified or self._classes.get(name, version) is not version:
            msg = f"{version.__name__} is no other version of {self._resource.qualified}"
            raise ValueError(msg)
        if name == self._resource.version:
            msg = f"{version.__name__} is the stored version; give functions for the others"
            raise ValueError(msg)
        if name in functions:
            msg = f"{version.__name__} has a function in this direction already"
            raise ValueError(msg)
        self._classes[name] = version
        self._decoders[name] = decoder_of(version)

        def decorate(function: F) -> F:
            functions[name] = function
            return function

        return decorate

    def crd(self, client_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the CustomResourceDefinition with all versions.

        Args:
            client_config: where the API server asks for conversions, as `Webhooks.client_config` makes it; without it,
                the server only changes `apiVersion`.

        Raises:
            ValueError: a version lacks one of its two functions.
        """
        self.check()
        made = crd(*self.classes)
        if client_config is not None:
            webhook = {"clientConfig": copy.deepcopy(dict(client_config)), "conversionReviewVersions": ["v1"]}
            made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return made

    def check(self) -> None:
        """Check that each version has both functions.

        Raises:
            ValueError: one is missing.
        """
        for name, kind in self._classes.items():
            for functions, verb in ((self._to_stored, "add"), (self._from_stored, "add_back")):
                if name != self._resource.version and name not in functions:
                    msg = f"{kind.__name__} has no function in one direction: @conversions.{verb}({kind.__name__})"
                    raise ValueError(msg)

    def convert(self, manifest: Mapping[str, Any], version: str) -> dict[str, Any]:
        """Convert a manifest.

        Args:
            manifest: an object in one of the versions, as plain data; it is not changed.
            version: the wanted version, such as "v1", or "example.com/v1".

        Returns:
            The manifest in that version.

        Raises:
            ConversionError: a version is unknown, the object does not fit its class, or a function raised.
        """
        wanted = version.rpartition("/")[2]
        given = str(manifest.get("apiVersion", "")).rpartition("/")[2]
        for name in (given, wanted):
            if name not in self._classes:
                known = ", ".join(self._classes)
                msg = f"{self._resource.qualified} has no version {name!r} here; the versions are {known}"
                raise ConversionError(msg)
        if given == wanted:
            return copy.deepcopy(dict(manifest))
        made = self._decoded(manifest, given)
        had = manifest_of(made).get("metadata")
        if given != self._resource.version:
            made = self._called(self._to_stored, given, made)
        if wanted != self._resource.version:
            made = self._called(self._from_stored, wanted, made)
        if type(made) is not self._classes[wanted]:
            msg = f"the conversion to {wanted} returned a {type(made).__name__}, not a {self._classes[wanted].__name__}"
            raise ConversionError(msg)
        converted = manifest_of(made)
        metadata = _metadata(manifest.get("metadata") or {}, had, converted.get("metadata"))
        return converted | {"metadata": metadata}

    def check_round_trip(self, obj: Any) -> None:
        """Check that an object comes back as it was: converted to each other version and back.

        Made for a property test over generated objects. An object of the stored version goes to every other version and
        back; an object of another version goes to the stored one and back.

        Args:
            obj: an object of one of the classes, or a manifest.

        Raises:
            ConversionError: a conversion failed, or lost something; the message names the fields.
        """
        self.check()
        first = copy.deepcopy(dict(obj)) if isinstance(obj, dict) else manifest_of(obj)
        given = str(first["apiVersion"]).rpartition("/")[2]
        stored = self._resource.version
        for version in [stored] if given != stored else self.versions[1:]:
            # What the class itself does not keep is not lost by the conversion.
            kept = manifest_of(self._decoded(first, given))
            back = self.convert(self.convert(first, version), given)
            again = manifest_of(self._decoded(back, given))
            if lost := _differences(kept, again):
                msg = f"{given} to {version} and back changes {', '.join(lost)}"
                raise ConversionError(msg)

    def _decoded(self, manifest: Mapping[str, Any], version: str) -> Any:
        try:
            return self._decoders[version](msgspec.json.encode(manifest))
        except ValueError as error:
            msg = f"the object does not fit {self._classes[version].__name__}: {reason_of(error)}"
            raise ConversionError(msg) from None

    def _called(self, functions: Mapping[str, Callable[[Any], Any]], version: str, obj: Any) -> Any:
        function = functions.get(version)
        if function is None:
            self.check()
        try:
            return functions[version](obj)
        except BaseException as error:
            if not is_survivable(error):
                raise
            name = getattr(functions[version], "__name__", "the conversion")
            # The text of the error may quote the object.
            msg = f"{name} raised {type(error).__name__}"
            raise ConversionError(msg) from error


def _metadata(full: Mapping[str, Any], before: Any, after: Any) -> dict[str, Any]:
    """Take labels and annotations from the converted object: the API server lets a webhook change nothing else.

    Args:
        full: the metadata of the object.
        before: the part of it that the class of the object has.
        after: the metadata after the conversion.
    """
    made = dict(full)
    if not isinstance(after, dict):
        return made
    # A function that hands no metadata on, and a class that lacks these fields, do not decide on them.
    carried = isinstance(before, dict) and before.get("name") == after.get("name")
    for name in ("labels", "annotations"):
        if after.get(name):
            made[name] = after[name]
        elif name in after or (carried and name in before):
            made.pop(name, None)
    return made


def _differences(first: Any, second: Any, path: str = "") -> list[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        found: list[str] = []
        for name in {**first, **second}:
            at = f"{path}.{name}" if path else name
            if (name in first) != (name in second):
                found.append(at)
            elif name in first:
                found += _differences(first[name], second[name], at)
        return found
    return [] if first == second else [path]
