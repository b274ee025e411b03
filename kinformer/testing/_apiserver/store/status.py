"""The refusals of a kube-apiserver: `Status` objects (meta/v1), message for message as recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["Refusal", "TextRefusal"]


class Refusal(Exception):  # noqa: N818 - an answer of the server, not an error in it
    """A request is refused; carries the HTTP status and the Status object."""

    def __init__(self, code: int, message: str, reason: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details
        self.continue_token = ""

    @property
    def body(self) -> dict[str, Any]:
        """The Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status | {"code": self.code}

    @property
    def retry_after(self) -> int | None:
        """Seconds for the `Retry-After` header."""
        return (self.details or {}).get("retryAfterSeconds")


class Asked(Protocol):
    """A request in the terms of authorization."""

    @property
    def verb(self) -> str:
        """The verb."""

    @property
    def group(self) -> str:
        """The API group."""

    @property
    def resource(self) -> str:
        """The plural."""

    @property
    def subresource(self) -> str:
        """The subresource, or ""."""

    @property
    def namespace(self) -> str:
        """The namespace, or ""."""

    @property
    def name(self) -> str:
        """The name, or ""."""


class TextRefusal(Exception):  # noqa: N818
    """A request is refused with plain text, as one for a path that is not served."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def details_of(kind: ResourceType, name: str = "") -> dict[str, Any]:
    """`details` as the storage layer fills them: the resource's plural under the name `kind`."""
    details: dict[str, Any] = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    return details | {"kind": kind.plural}


def qualified(kind: ResourceType) -> str:
    """A resource in messages: `pods`, `deployments.apps`."""
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def not_found(kind: ResourceType, name: str) -> Refusal:
    """404 for an object."""
    return Refusal(404, f'{qualified(kind)} "{name}" not found', "NotFound", details_of(kind, name))


def no_such_resource() -> Refusal:
    """404 for a resource in a group that is served."""
    return Refusal(404, "the server could not find the requested resource", "NotFound", {})


def page_not_found() -> TextRefusal:
    """404 for a path that nothing serves: text, not a Status."""
    return TextRefusal(404, "404 page not found\n")


def already_exists(kind: ResourceType, name: str) -> Refusal:
    """409 on create."""
    return Refusal(409, f'{qualified(kind)} "{name}" already exists', "AlreadyExists", details_of(kind, name))


def conflict(kind: ResourceType, name: str, why: str = "") -> Refusal:
    """409 on update."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(kind)} "{name}": {why}'
    return Refusal(409, message, "Conflict", details_of(kind, name))


def precondition_failed(kind: ResourceType, name: str, why: str) -> Refusal:
    """409 for a uid or a version named by a delete; the only one that goes by the kind."""
    details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.kind}
    named = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return Refusal(409, f'Operation cannot be fulfilled on {named} "{name}": {why}', "Conflict", details)


Cause = tuple[str, str, str]
"""(reason, message, field)"""


def invalid(kind: str, name: str, causes: list[Cause], group: str = "") -> Refusal:
    """422 with its causes."""
    listed = [f"{field}: {message}" for _, message, field in causes]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    qualified_kind = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    details |= {
        "kind": kind,
        "causes": [{"reason": reason, "message": message, "field": field} for reason, message, field in causes],
    }
    return Refusal(422, f'{qualified_kind} "{name}" is invalid: {text}', "Invalid", details)


def streaming_lists_forbidden() -> Refusal:
    """422: the feature gate WatchList is off (apimachinery meta/internalversion/validation)."""
    message = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    return invalid("ListOptions", "", [("FieldValueForbidden", message, "sendInitialEvents")], group="meta.k8s.io")


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, message, "BadRequest")


def unauthorized() -> Refusal:
    """401."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def dry_run_unknown(verb: str, value: str) -> Refusal:
    """422: there is but one kind of dry run."""
    options = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}.get(verb, "DeleteOptions")
    message = f'Unsupported value: ["{value}"]: supported values: "All"'
    return invalid(options, "", [("FieldValueNotSupported", message, "dryRun")], group="meta.k8s.io")


def failed(message: str) -> Refusal:
    """500 for an error that has no class of its own: the API server passes its text on, without a reason."""
    return Refusal(500, message, "")


def forbidden_to(user: str, attributes: Asked) -> Refusal:
    """403, in the words of the RBAC authorizer."""
    plural, group = attributes.resource, attributes.group
    subject = f"{plural}.{group}" if group else plural
    what = f"{plural}/{attributes.subresource}" if attributes.subresource else plural
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    named = f'{subject} "{attributes.name}"' if attributes.name else subject
    message = (
        f'{named} is forbidden: User "{user}" cannot {attributes.verb} resource "{what}" in API group "{group}" {where}'
    )
    details: dict[str, Any] = {"name": attributes.name} if attributes.name else {}
    details |= ({"group": group} if group else {}) | {"kind": plural}
    return Refusal(403, message, "Forbidden", details)


def forbidden_path(user: str, verb: str, path: str) -> Refusal:
    """403 for a path that is no resource."""
    message = f'forbidden: User "{user}" cannot {verb} path "{path}"'
    return Refusal(403, message, "Forbidden", {})


def continue_expired(token: str) -> Refusal:
    """410 for a continue token, with one that goes on inconsistently."""
    refusal = Refusal(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        "Expired",
    )
    refusal.continue_token = token
    return refusal


def version_expired(wanted: int, oldest: int) -> Refusal:
    """410 for a watch: sent as an ERROR event on a 200 stream."""
    return Refusal(410, f"too old resource version: {wanted} ({oldest})", "Expired")


def version_compacted() -> Refusal:
    """410 for a list at an exact version that is no longer kept."""
    return Refusal(410, "The resourceVersion for the provided list is too old.", "Expired")


def version_too_large(wanted: int, current: int) -> Refusal:
    """504 for a list of a version that has not been reached."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return Refusal(504, f"Timeout: Too large resource version: {wanted}, current: {current}", "Timeout", details)


def method_not_allowed() -> Refusal:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, message, "MethodNotAllowed", {})


def unsupported_media_type(*accepted: str) -> Refusal:
    """415, as a patch of an unknown type is answered.

    Args:
        accepted: the types that are read, if the one given is known, but not for this resource.
    """
    if accepted:
        message = (
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        )
        return Refusal(415, message, "UnsupportedMediaType")
    return Refusal(415, "415: Unsupported Media Type", "UnsupportedMediaType", {})


def unreadable_patch(wanted: Any, why: str, patch: Any = None) -> Refusal:
    """422 for a patch whose result is no object of the kind."""
    in_order = msgspec.json.encode(wanted, order="sorted") if patch is wanted else _in_order(wanted, patch)
    shown = msgspec.json.encode(in_order.decode()).decode()
    refusal = invalid("", "", [("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])
    if refusal.details is not None:
        # The kind is not known yet.
        refusal.details.pop("kind")
    return refusal


def _in_order(wanted: Any, patch: Any) -> bytes:
    """JSON whose maps are sorted where a patch touches them; the others keep their order."""

    def touched(value: Any, change: Any) -> Any:
        if not isinstance(value, dict):
            return value
        inner = change if isinstance(change, dict) else {}
        return {name: touched(value[name], inner[name]) if name in inner else value[name] for name in sorted(value)}

    return msgspec.json.encode(touched(wanted, patch))


def json_patch_failed() -> Refusal:
    """422 for a JSON patch whose test does not hold, or whose path leads nowhere."""
    return Refusal(422, "the server rejected our request due to an error in our request", "Invalid", {})


def internal(message: str) -> Refusal:
    """500 without a reason, as a watch with a bad version is answered."""
    return Refusal(500, message)


def success(kind: ResourceType, name: str, uid: str) -> dict[str, Any]:
    """The Status a delete is answered with when nothing is left to show."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(kind, name) | {"uid": uid},
    }
