"""Apply a CRD, and wait until the server serves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer.custom_resources.compatibility import incompatibilities
from kinformer.custom_resources.conversion import Conversions
from kinformer.custom_resources.definition import crd
from kinformer.errors import IncompatibleSchemaError, NotFoundError, WaitTimeoutError
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["definition_to_install", "install"]

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Verbs(Protocol):
    """The verbs of a client that an installation needs."""

    async def get(self, resource: Resource, name: str, /) -> KubeObject:
        """Read one object."""
        ...

    async def apply(
        self, resource: Resource, obj: Mapping[str, Any], /, *, field_manager: str, force: bool
    ) -> KubeObject:
        """Apply one object."""
        ...


def definition_to_install(
    versions: Sequence[type | Conversions], conversion: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the CRD of classes, or of one `Conversions`.

    Raises:
        ValueError: the classes are no versions of one resource; several `Conversions`, or one that lacks a function;
            or a conversion webhook without functions.
    """
    classes = [each for each in versions if isinstance(each, type)]
    conversions = [each for each in versions if isinstance(each, Conversions)]
    if conversions and len(versions) > 1:
        raise ValueError("Conversions have the classes of all versions: give them alone")
    if conversions:
        return conversions[0].crd(conversion)
    if conversion is not None:
        raise ValueError("conversion= goes with Conversions, which have the functions: give them instead of classes")
    return crd(*classes)


async def install(
    client: Verbs, wanted: dict[str, Any], *, field_manager: str, allow_incompatible: bool, timeout: float | None
) -> KubeObject:
    """Apply a CRD and wait until it is established.

    Returns:
        The CRD as it is served.

    Raises:
        IncompatibleSchemaError: the change would break stored objects or clients.
        WaitTimeoutError: it was applied, and is not established in time.
    """
    name = wanted["metadata"]["name"]
    if not allow_incompatible:
        try:
            found = await client.get(CUSTOMRESOURCEDEFINITIONS, name)
        except NotFoundError:
            pass
        else:
            changes = incompatibilities(found.to_dict(), wanted)
            if changes:
                raise IncompatibleSchemaError(name, tuple(changes))
    crd = await client.apply(CUSTOMRESOURCEDEFINITIONS, wanted, field_manager=field_manager, force=True)
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(timeout):
            while _condition(crd, "Established").get("status") != "True":
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                crd = await client.get(CUSTOMRESOURCEDEFINITIONS, name)
    except TimeoutError:
        reason = _why_not(crd)
        msg = f"the CRD {name} was applied, and is not established after {timeout:g} s: {reason}"
        raise WaitTimeoutError(msg) from None
    return crd


def _why_not(crd: KubeObject) -> str:
    for kind in ("NamesAccepted", "Established"):
        condition = _condition(crd, kind)
        if condition.get("status") == "False":
            return f"{kind} is False: {condition.get('message') or condition.get('reason') or 'no reason is given'}"
    return "the server has set no condition"


def _condition(crd: KubeObject, kind: str) -> Mapping[str, Any]:
    conditions: list[dict[str, Any]] = crd.at("status.conditions", default=None) or []
    return next((each for each in conditions if each.get("type") == kind), {})
