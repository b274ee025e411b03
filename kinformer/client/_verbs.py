"""Requests that are answered with one object: the base of the verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kinformer._heads import decode_answer_head
from kinformer.client._http.errors import NOT_JSON
from kinformer.client._list_watch import accept, place, require_json
from kinformer.errors import ProtocolError
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer._heads import AnswerEnvelope
    from kinformer._own_writes.feed import WriteFeed
    from kinformer.client._http.transport import Transport
    from kinformer.client._requests import FieldValidation

__all__ = ["Verbs", "answer_head", "target_text"]


class Verbs(ABC):
    """The base of all verbs: an open transport, and the feed of the client's writes."""

    _writes: WriteFeed
    """Announces each write that the server accepted to the informers of this client."""

    _field_validation: FieldValidation | None
    """The server's treatment of unknown fields in writes that name none."""

    @abstractmethod
    def _open(self) -> Transport:
        """Return the open transport.

        Raises:
            LifecycleError: the client is not open.
        """

    @abstractmethod
    async def resolve(self, name: str) -> Resource:
        """Return the resource of a kubectl-style name."""

    async def _resource_of(self, kind: Resource | str | type[Any]) -> Resource:
        """Return the resource that a verb was given, by itself, by its name, or by the class of its objects.

        Raises:
            UnknownResourceError: there is no resource of that name.
            TypeError: it is none of these, or a class that is not decorated.
        """
        if isinstance(kind, Resource):
            return kind
        if isinstance(kind, str):
            return await self.resolve(kind)
        if isinstance(kind, type):
            # Imported here, because most programs have no such class.
            from kinformer.custom_resources.definition import resource_of

            return resource_of(kind)
        msg = (
            f"a verb takes a Resource, a name such as 'pods', or a class of custom resources, not {type(kind).__name__}"
        )
        raise TypeError(msg)

    async def _object(
        self,
        method: str,
        path: str,
        resource: Resource,
        doing: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> KubeObject:
        """Send a request that is answered with an object."""
        headers = {"Accept": accept()}
        if body is not None:
            headers["Content-Type"] = content_type
        answer = await self._open().request(method, path, doing=doing, params=params, headers=headers, body=body)
        require_json(answer.content_type, doing)
        # Not KubeObject.from_json: a response that is not stored (a review, an eviction) has no name.
        raw = answer.body.strip()
        envelope = answer_head(raw, doing)
        metadata = envelope.metadata
        return KubeObject(raw, metadata, resource, ObjectKey(metadata.namespace, metadata.name), envelope)


def answer_head(body: bytes, doing: str) -> AnswerEnvelope:
    """Decode the head of the object in a response.

    Raises:
        ProtocolError: the body is no Kubernetes object.
    """
    try:
        return decode_answer_head(body)
    except NOT_JSON as error:
        msg = f"cannot {doing}: the answer is no Kubernetes object: {error}"
        raise ProtocolError(msg) from error


def target_text(resource: Resource, namespace: str | None, name: str, subresource: str) -> str:
    """Name the target of a verb for errors, such as `status of pods "web-0" in namespace web`."""
    text = place(resource, namespace, name)
    return f"{subresource} of {text}" if subresource else text
