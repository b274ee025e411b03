"""AdmissionReview and ConversionReview: from JSON, and to JSON."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kinformer.webhooks._admission import Answer, Deny, Operation, Patch, UserInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MalformedReviewError",
    "Question",
    "admission_answer",
    "conversion_answer",
    "read_admission",
    "read_conversion",
]


_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class MalformedReviewError(ValueError):
    """The body is no review that this program can answer."""


class Question(NamedTuple):
    """The request of an AdmissionReview."""

    uid: str
    operation: Operation
    namespace: str
    name: str
    subresource: str
    manifest: dict[str, Any] | None
    old_manifest: dict[str, Any] | None
    user: UserInfo
    dry_run: bool


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    operation: Operation
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    user_info: _User = msgspec.field(default_factory=_User)
    dry_run: bool | None = None


class _Admission(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Request


class _ConversionRequest(msgspec.Struct, rename="camel"):
    uid: str
    desired_api_version: str = msgspec.field(name="desiredAPIVersion")
    objects: list[dict[str, Any]]


class _Conversion(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _ConversionRequest


_decode_admission = msgspec.json.Decoder(_Admission).decode
_decode_conversion = msgspec.json.Decoder(_Conversion).decode


def read_admission(body: bytes) -> Question:
    """Read an AdmissionReview.

    Raises:
        MalformedReviewError: it is none of admission.k8s.io/v1, or is not whole.
    """
    try:
        review = _decode_admission(body)
    except (msgspec.DecodeError, RecursionError) as error:
        # The message of msgspec names paths and types, never values.
        msg = f"the body is no AdmissionReview: {error}"
        raise MalformedReviewError(msg) from None
    _check(review, "AdmissionReview", "admission.k8s.io/v1")
    asked, user = review.request, review.request.user_info
    if asked.object is None and asked.operation != "DELETE":
        msg = f"the body is no AdmissionReview: a {asked.operation} without an object"
        raise MalformedReviewError(msg)
    return Question(
        asked.uid,
        asked.operation,
        asked.namespace,
        asked.name,
        asked.sub_resource,
        asked.object,
        asked.old_object,
        UserInfo(user.username, tuple(user.groups), user.uid, user.extra),
        bool(asked.dry_run),
    )


def read_conversion(body: bytes) -> tuple[str, str, list[dict[str, Any]]]:
    """Read a ConversionReview: its uid, the wanted apiVersion, and the objects.

    Raises:
        MalformedReviewError: it is none of apiextensions.k8s.io/v1, or is not whole.
    """
    try:
        review = _decode_conversion(body)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"the body is no ConversionReview: {error}"
        raise MalformedReviewError(msg) from None
    _check(review, "ConversionReview", "apiextensions.k8s.io/v1")
    return review.request.uid, review.request.desired_api_version, review.request.objects


def _check(review: _Admission | _Conversion, kind: str, api_version: str) -> None:
    if review.kind != kind or review.api_version != api_version:
        msg = f"the body is a {review.kind} of {review.api_version}, not a {kind} of {api_version}"
        raise MalformedReviewError(msg)


def admission_answer(uid: str, answer: Answer, patch: list[dict[str, Any]]) -> bytes:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, Any] = {"uid": uid, "allowed": not isinstance(answer, Deny)}
    if isinstance(answer, Deny):
        status = {"code": answer.code, "message": answer.message}
        response["status"] = status | ({"reason": answer.reason} if answer.reason else {})
    if isinstance(answer, Patch) and patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(patch)).decode()}
    if answer.warnings:
        # The API server drops a warning with a control character, such as a line break.
        response["warnings"] = [" ".join(_CONTROLS.sub(" ", text).split()) for text in answer.warnings]
    if answer.audit:
        response["auditAnnotations"] = dict(answer.audit)
    return _review("AdmissionReview", "admission.k8s.io/v1", response)


def conversion_answer(uid: str, converted: list[dict[str, Any]], failure: str = "") -> bytes:
    """Return the ConversionReview that answers a request: the objects, or the reason of the failure."""
    result = {"status": "Failed", "message": failure} if failure else {"status": "Success"}
    response = {"uid": uid, "result": result} | ({} if failure else {"convertedObjects": converted})
    return _review("ConversionReview", "apiextensions.k8s.io/v1", response)


def _review(kind: str, api_version: str, response: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"apiVersion": api_version, "kind": kind, "response": response})
