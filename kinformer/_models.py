"""Objects as the classes of kubernetes_asyncio, which is imported only when one is asked for."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kinformer.errors import DecodeError

if TYPE_CHECKING:
    from kinformer.resources import Resource

__all__ = ["model_of"]


def model_of(text: bytes, resource: Resource, key: str) -> Any:
    """Return an object as kubernetes_asyncio's class for it.

    Args:
        text: the whole manifest as JSON.
        resource: the resource of the object.
        key: the key of the object, for errors.

    Raises:
        DecodeError: kubernetes_asyncio has no class for it, or the object breaks the class's own validation.
    """
    client = importlib.import_module("kubernetes_asyncio.client")
    group = resource.group.removesuffix(".k8s.io").partition(".")[0].capitalize() or "Core"
    version = resource.version.capitalize()
    # Event is in two groups, and so its classes are named by them: CoreV1Event, EventsV1Event.
    name = next(
        (n for n in (version + resource.kind, group + version + resource.kind) if hasattr(client.models, n)), None
    )
    if name is None:
        msg = f"kubernetes_asyncio has no class for {resource.full_name}; use decode() or to_dict()"
        raise DecodeError(msg, key=key, resource=resource.full_name)
    # Made without __init__, which would open an HTTP session: only the deserializer is wanted.
    deserializer = client.ApiClient.__new__(client.ApiClient)
    deserializer.configuration = client.Configuration()
    try:
        return deserializer.deserialize(SimpleNamespace(data=text), name)
    except (ValueError, TypeError) as error:
        msg = f"does not fit kubernetes_asyncio's {name}: {error}"
        raise DecodeError(msg, key=key, resource=resource.full_name) from error
