"""The request and the answers of an admission webhook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from kinformer.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinformer.objects import ObjectKey

__all__ = ["AdmissionRequest", "Allow", "Answer", "Deny", "Operation", "Patch", "UserInfo"]

T = TypeVar("T")

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(frozen=True, slots=True)
class UserInfo:
    """The user of the request that is to be admitted.

    Attributes:
        name: the name of the user, such as "system:serviceaccount:shop:default".
        groups: the groups of the user.
        uid: the uid; "" if the authenticator sets none.
        extra: further facts that the authenticator knows.
    """

    name: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class AdmissionRequest(Generic[T]):
    """A write that the API server asks about.

    Attributes:
        uid: the id of this question.
        operation: "CREATE", "UPDATE" or "DELETE".
        key: the namespace and the name; the name is "" if the server is still to generate it.
        object: the object as it is to be stored; `None` for a deletion.
        manifest: the same as plain data, with the fields that the class does not have.
        old_manifest: the object before the write as plain data; `None` for a creation.
        user: the user that writes.
        dry_run: whether nothing will be stored: the function must then have no side effects.
        subresource: such as "status"; "" for the object itself.
    """

    uid: str
    operation: Operation
    key: ObjectKey
    object: T | None
    manifest: Mapping[str, Any] | None
    old_manifest: Mapping[str, Any] | None
    user: UserInfo
    dry_run: bool
    subresource: str
    _decode: Callable[[Mapping[str, Any]], T] = field(repr=False, compare=False)

    def __repr__(self) -> str:
        # The objects may be Secrets.
        return f"<AdmissionRequest {self.operation} {self.key} uid={self.uid}>"

    @property
    def new(self) -> T:
        """The object as it is to be stored, for webhooks of creations and updates.

        Raises:
            LookupError: the request is a deletion.
        """
        if self.object is None:
            msg = f"a {self.operation} has no new object; see `old`"
            raise LookupError(msg)
        return self.object

    @property
    def old(self) -> T | None:
        """The object before the write; `None` for a creation. It is decoded at each access.

        Raises:
            DecodeError: the stored object does not fit the class. The API server then gets no answer, and goes by the
                failure policy.
        """
        if self.old_manifest is None:
            return None
        try:
            return self._decode(self.old_manifest)
        except ValueError as error:
            msg = "the object before the write does not fit the class of the webhook"
            raise DecodeError(msg) from error


@dataclass(frozen=True, slots=True)
class Allow:
    """The write is admitted as it is.

    Attributes:
        warnings: texts that the API server hands to the client; at most 120 characters each are sure to arrive.
        audit: annotations for the audit log.
    """

    warnings: Sequence[str] = ()
    audit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deny:
    """The write is refused.

    Attributes:
        message: the reason, for the user. The API server puts the name of the webhook before it.
        code: the HTTP status that the client gets, from 400 to 599.
        reason: the machine-readable reason of the Status, such as "Invalid"; by default the one of the code.
        warnings: texts that the API server hands to the client.
        audit: annotations for the audit log.

    Raises:
        ValueError: the code is no code of a refusal, or there is no message.
    """

    message: str
    code: int = 403
    reason: str = ""
    warnings: Sequence[str] = ()
    audit: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 400 <= self.code <= 599:
            msg = f"Deny(code={self.code}): a refusal has a code from 400 to 599"
            raise ValueError(msg)
        if not self.message.strip():
            raise ValueError("Deny needs a message: without one, the user cannot know how to correct the object")


@dataclass(frozen=True, slots=True)
class Patch:
    """The write is admitted with changes; only mutating webhooks may answer so.

    The patch has only the differences between the object of the request and this one. Fields that the class does not
    have stay as they are.

    Attributes:
        object: the changed object: the very one of the request, a copy of it, or plain data for the whole object.
        warnings: texts that the API server hands to the client.
        audit: annotations for the audit log.
    """

    object: Any
    warnings: Sequence[str] = ()
    audit: Mapping[str, str] = field(default_factory=dict)


Answer = Allow | Deny | Patch
