"""All exceptions of kinformer, in one tree.

    KinformerError
    ├── ConfigError (ValueError)                   the server's address, its trust or the credentials cannot be used
    ├── MissingDependencyError (ImportError)       a package of an extra is not installed
    ├── SelectorError (ValueError)                 a label or field selector that does not parse
    ├── UnknownResourceError (LookupError)         no such resource, built in or on the server
    ├── LifecycleError (RuntimeError)              a call at the wrong time
    │   ├── AlreadyStartedError                    a second start, or a change after the start
    │   ├── WrongLoopError                         a call in another event loop than that of the informer
    │   ├── NotStartedError                        a call before the start
    │   └── StoppedError                           a call after the stop
    ├── LeadershipLostError                        the lease could not be kept
    ├── NotOursError                               another member of the shard group may own the object
    ├── ShardGroupError                            the shard group was made with other settings
    ├── RecordingError (ValueError)                a file is no recording, or damaged
    ├── AlreadyOwnedError                          an object has a controller already
    ├── IncompatibleSchemaError (ValueError)       a new CRD would break stored objects or clients; names the changes
    ├── ConversionError (ValueError)               no conversion to another version, or one that loses something
    ├── IndexerError
    │   ├── UnknownIndexError (LookupError)        an index that was not added
    │   └── IndexConflictError (ValueError)        an index name that exists
    ├── UnknownClusterError (LookupError)          no cluster of that name has live caches
    ├── ObjectError                                one object that cannot be used; names its key
    │   ├── DecodeError (ValueError)               not the JSON of a Kubernetes object
    │   ├── TransformError                         the transform raised
    │   └── IndexFunctionError                     an index function raised
    ├── CacheMissError (LookupError)               no cache can answer, and the server is not to be asked
    ├── CacheSyncError (TimeoutError)              caches that are not in sync; names each and its last error
    ├── WaitTimeoutError (TimeoutError)            the awaited state did not come in time
    ├── UnexpectedError                            a callback, a source or kinformer itself raised
    ├── TransportError                             no answer, or a part of one
    │   ├── ConnectError (ConnectionError)         refused, reset, no such host
    │   ├── TLSError (ConnectionError)             the TLS handshake failed
    │   ├── TransportTimeoutError (TimeoutError)   silence for too long
    │   ├── StreamBrokenError (ConnectionError)    the connection was lost in the middle of an answer
    │   │   └── MalformedStreamError               a line of a watch that is no event
    │   └── ProtocolError                          an answer of another kind than asked for
    └── ApiError                                   the API server refused; a class per HTTP status
        ├── BadRequestError (ValueError)           400
        ├── UnauthorizedError (PermissionError)    401
        ├── ForbiddenError (PermissionError)       403
        ├── NotFoundError (LookupError)            404
        ├── MethodNotAllowedError                  405
        ├── ConflictError                          409
        │   ├── AlreadyExistsError                 409, reason AlreadyExists
        │   └── ApplyConflictError                 409, fields of other managers; names them
        ├── ExpiredError                           410
        ├── UnsupportedMediaTypeError              415
        ├── InvalidError (ValueError)              422
        ├── TooManyRequestsError                   429
        └── ServerError                            5xx
            ├── ServiceUnavailableError            503
            └── ServerTimeoutError (TimeoutError)  504
                └── ResourceVersionTooLargeError   504, cause ResourceVersionTooLarge

Two warnings are beside the tree: UnsyncedReadWarning and SwappedArgumentsWarning (RuntimeWarning).

The class in brackets is a second base class, so `except TimeoutError` catches kinformer's timeouts, too. No message
carries a token, the data of a Secret, the body of an object or the output of an exec plugin. The cause and the remedy
of each error are in docs/reference/errors.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AlreadyExistsError",
    "AlreadyOwnedError",
    "AlreadyStartedError",
    "ApiError",
    "ApplyConflictError",
    "BadRequestError",
    "CacheMissError",
    "CacheSyncError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ConversionError",
    "DecodeError",
    "ExpiredError",
    "FieldConflict",
    "ForbiddenError",
    "IncompatibleSchemaError",
    "IndexConflictError",
    "IndexFunctionError",
    "IndexerError",
    "InvalidError",
    "KinformerError",
    "LeadershipLostError",
    "LifecycleError",
    "MalformedStreamError",
    "MethodNotAllowedError",
    "MissingDependencyError",
    "NotFoundError",
    "NotOursError",
    "NotStartedError",
    "ObjectError",
    "ProtocolError",
    "RecordingError",
    "ResourceVersionTooLargeError",
    "SelectorError",
    "ServerError",
    "ServerTimeoutError",
    "ServiceUnavailableError",
    "ShardGroupError",
    "StoppedError",
    "StreamBrokenError",
    "SwappedArgumentsWarning",
    "TLSError",
    "TooManyRequestsError",
    "TransformError",
    "TransportError",
    "TransportTimeoutError",
    "UnauthorizedError",
    "UnexpectedError",
    "UnknownClusterError",
    "UnknownIndexError",
    "UnknownResourceError",
    "UnsupportedMediaTypeError",
    "UnsyncedReadWarning",
    "WaitTimeoutError",
    "WrongLoopError",
]


class KinformerError(Exception):
    """The root of all errors that kinformer raises on purpose."""


class ConfigError(KinformerError, ValueError):
    """The server's address, the trust in it or the credentials cannot be used; the message names file and reason."""


class MissingDependencyError(KinformerError, ImportError):
    """A feature needs a package that is not installed; the message names the extra that installs it."""


class SelectorError(KinformerError, ValueError):
    """A label or field selector does not parse; the message shows where."""


class UnknownResourceError(KinformerError, LookupError):
    """The resource is neither built in nor served by the API server."""


class LifecycleError(KinformerError, RuntimeError):
    """A call came at the wrong time."""


class AlreadyStartedError(LifecycleError):
    """A second start, or a change that is allowed only before the start."""


class WrongLoopError(LifecycleError):
    """A call came from another event loop than the one that the object was started in; it would wait for ever."""


class NotStartedError(LifecycleError):
    """A call needs a start first."""


class StoppedError(LifecycleError):
    """A call came after the stop; informers, factories and queues are never restarted."""


class LeadershipLostError(KinformerError):
    """The Lease could not be renewed in time, or another process holds it; the work was cancelled.

    Attributes:
        lease: "namespace/name" of the Lease.
    """

    def __init__(self, lease: str, reason: str) -> None:
        super().__init__(f"the leadership of {lease} is lost: {reason}")
        self.lease = lease


class NotOursError(KinformerError):
    """An object belongs to a slice of a shard group that this member may not work on now.

    Attributes:
        group: "namespace/name" of the group.
        slice: number of the slice.
    """

    def __init__(self, group: str, number: int, what: str, reason: str) -> None:
        super().__init__(f"{what} is in slice {number} of the shard group {group}, {reason}")
        self.group = group
        self.slice = number


class RecordingError(KinformerError, ValueError):
    """A file is no recording of a cluster, is damaged, or has a newer format; names the file and the place."""


class ShardGroupError(KinformerError):
    """This process cannot take part in a shard group, because the group was made with other settings.

    Attributes:
        group: "namespace/name" of the group.
    """

    def __init__(self, group: str, reason: str) -> None:
        super().__init__(f"this process cannot take part in the shard group {group}: {reason}")
        self.group = group


class IncompatibleSchemaError(KinformerError, ValueError):
    """The new CRD would break stored objects or clients; nothing was applied.

    Attributes:
        crd: the name of the CRD.
        changes: the incompatible changes (`kinformer.custom_resources.Incompatibility`), each with its place.
    """

    def __init__(self, crd: str, changes: Sequence[Any]) -> None:
        listed = "; ".join(map(str, changes))
        super().__init__(
            f"the CRD {crd} was not applied, as it would break stored objects or clients: {listed}. Make another "
            "version for it, or install it with allow_incompatible=True"
        )
        self.crd = crd
        self.changes = tuple(changes)


class ConversionError(KinformerError, ValueError):
    """An object of a custom resource cannot be converted to another version, or loses something by it."""


class AlreadyOwnedError(KinformerError):
    """The object has a controller, and cannot have two.

    Attributes:
        owner: the reference to the controller it has (`kinformer.operators.owners.OwnerReference`).
    """

    def __init__(self, what: str, owner: Any) -> None:
        super().__init__(f"{what} is controlled by {owner.kind} {owner.name} already, and cannot have two controllers")
        self.owner = owner


class UnknownClusterError(KinformerError, LookupError):
    """A fleet has no cluster of that name, or its cache has not synced: nothing is known of its objects.

    Attributes:
        cluster: the name.
    """

    def __init__(self, cluster: str, known: Sequence[str]) -> None:
        shown = ", ".join(repr(name) for name in known[:10]) + (", ..." if len(known) > 10 else "")
        super().__init__(f"nothing is known of cluster {cluster!r}; the clusters with live caches: {shown or 'none'}")
        self.cluster = cluster


class IndexerError(KinformerError):
    """The indexer cannot do what a call asks for."""


class UnknownIndexError(IndexerError, LookupError):
    """No index of that name was added."""


class IndexConflictError(IndexerError, ValueError):
    """An index of that name exists already; none of the new ones was added."""


class ObjectError(KinformerError):
    """One object cannot be used. It is left out and reported; all others are not affected.

    Attributes:
        key: `namespace/name` of the object, or `None` when it cannot be read.
        resource: the resource's full name, such as `pods.v1`.
    """

    def __init__(self, reason: str, *, key: str | None = None, resource: str = "") -> None:
        where = f"{resource} {key}" if key else resource or "an object"
        super().__init__(f"{where}: {reason}")
        self.key = key
        self.resource = resource
        self.reason = reason


class DecodeError(ObjectError, ValueError):
    """The bytes are not the JSON of a Kubernetes object, or it has no name."""


class TransformError(ObjectError):
    """The transform raised for this object; the cause is chained."""


class IndexFunctionError(ObjectError):
    """An index function raised for this object; the object is in the cache, but not in that index."""


class CacheMissError(KinformerError, LookupError):
    """No cache can answer a question of a cached client that may not ask the server (`missing="error"`).

    Attributes:
        reasons: why it cannot, by the name of each informer that covers the question; empty if none does.
    """

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)


class CacheSyncError(KinformerError, TimeoutError):
    """Caches were not in sync in time.

    Attributes:
        causes: the last error of each cache, by its name; `None` for a cache without an error, which is only slow.
    """

    def __init__(self, message: str, causes: Mapping[str, BaseException | None]) -> None:
        super().__init__(message)
        self.causes = dict(causes)


class WaitTimeoutError(KinformerError, TimeoutError):
    """The awaited state of an object, or a list, did not come in time; the cache goes on."""


class TransportError(KinformerError):
    """The request got no answer, or only a part of one."""


class ConnectError(TransportError, ConnectionError):
    """No connection to the API server: refused, reset, or a host name that does not resolve."""


class TLSError(TransportError, ConnectionError):
    """The TLS handshake failed: an unknown authority, a wrong host name, a refused client certificate."""


class TransportTimeoutError(TransportError, TimeoutError):
    """The server was silent for longer than allowed.

    Attributes:
        answered: false if it has not sent the head of its answer either.
    """

    answered: bool = True


class StreamBrokenError(TransportError, ConnectionError):
    """The connection was lost in the middle of an answer."""


class MalformedStreamError(StreamBrokenError):
    """A line of a watch is no event: it is not JSON, or names no object. The watch resumes from before it."""


class ProtocolError(TransportError):
    """The answer is not of the requested kind: HTML from a proxy, a Table, a list without items."""


class UnexpectedError(KinformerError):
    """An unexpected exception of a callback, a custom source of objects, or a part of kinformer (a defect).

    `__cause__` is the exception. The failed step is retried or left out; the informer goes on.
    """


class ApiError(KinformerError):
    """The API server refused, with a Status (meta/v1) or with plain text.

    Attributes:
        status: the HTTP status code, such as 409.
        reason: the Status's machine-readable reason, such as `AlreadyExists`; empty when there is none.
        message: the server's message.
        details: the Status's `details`, decoded; empty when there are none.
        retry_after: seconds that the server asks us to wait (`Retry-After` or `details.retryAfterSeconds`), at most
            `MAX_RETRY_AFTER`; `None` if it does not ask.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        doing: str = "",
    ) -> None:
        """`doing` names the refused action ("list pods in namespace web"), and leads the text."""
        said = message or reason or "no message"
        text = f"{status} {reason}".strip()
        super().__init__(f"cannot {doing}: {said} ({text})" if doing else f"{said} ({text})")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after


class BadRequestError(ApiError, ValueError):
    """400: the request itself is wrong."""


class UnauthorizedError(ApiError, PermissionError):
    """401: the server does not accept the credentials."""


class ForbiddenError(ApiError, PermissionError):
    """403: the server accepts the credentials, and RBAC does not allow the request."""


class NotFoundError(ApiError, LookupError):
    """404: there is no such object, or no such resource.

    A resource that the server does not serve at all has no `reason`, and the message asks for its
    CustomResourceDefinition.
    """


class MethodNotAllowedError(ApiError):
    """405: the resource does not offer this verb."""


class ConflictError(ApiError):
    """409: the object has changed since it was read, or a precondition failed."""


class AlreadyExistsError(ConflictError):
    """409, reason AlreadyExists: there is an object of that name."""


class FieldConflict(NamedTuple):
    """A field of a server-side apply that another manager owns.

    Attributes:
        manager: the name of that manager, such as "kubectl-edit".
        field: the field as the server writes it: ".spec.replicas".
        message: the server's message, which may have the manager's subresource, version and time.
    """

    manager: str
    field: str
    message: str


class ApplyConflictError(ConflictError):
    """409: another manager owns some of the fields of a server-side apply. `force=True` takes them over.

    Attributes:
        conflicts: these fields, in the server's order.
    """

    def __init__(self, message: str, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.conflicts = tuple(
            FieldConflict(_manager_in(message), str(cause.get("field") or ""), message)
            for cause in self.details.get("causes", ())
            if isinstance(cause, dict) and cause.get("reason") == _FIELD_CONFLICT
            for message in [str(cause.get("message") or "")]
        )


class ExpiredError(ApiError):
    """410: the resource version or the continue token is too old; only a new list helps."""


class UnsupportedMediaTypeError(ApiError):
    """415: the server does not take a body of this type."""


class InvalidError(ApiError, ValueError):
    """422: the object or the options fail validation; `details["causes"]` names the fields."""


class TooManyRequestsError(ApiError):
    """429: the server limits requests; see `retry_after`."""


class ServerError(ApiError):
    """5xx: the server failed."""


class ServiceUnavailableError(ServerError):
    """503: the server, or a proxy in front of it, is not ready."""


class ServerTimeoutError(ServerError, TimeoutError):
    """504: the server did not finish the request in time."""


class ResourceVersionTooLargeError(ServerTimeoutError):
    """504, cause ResourceVersionTooLarge: this server has not yet seen the requested version."""


MAX_RETRY_AFTER: Final = 60.0
"""Maximum wait in seconds that a server can request. API servers request 1 to 10 seconds. Without a bound, one answer
of a broken proxy ("Retry-After: 999999999") would stop an informer for 31 years."""

_FIELD_CONFLICT: Final = "FieldManagerConflict"

# apimachinery util/managedfields/internal/conflict.go: conflict with "me" with subresource "status" using v1 at …
_MANAGER: Final = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


def _manager_in(message: str) -> str:
    found = _MANAGER.match(message)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    410: ExpiredError,
    415: UnsupportedMediaTypeError,
    422: InvalidError,
    429: TooManyRequestsError,
    503: ServiceUnavailableError,
    504: ServerTimeoutError,
}


# The text of Go's ServeMux, which a kube-apiserver sends in place of a Status for a path that it does not serve.
_NO_SUCH_PATH: Final = "404 page not found"
_NO_SUCH_PATH_HINT: Final = (
    "; the server does not serve this resource. If it is a custom one: is its CustomResourceDefinition installed, "
    "with this version? If it is a built-in one: is the server's Kubernetes old enough, or new enough, to have it?"
)


def _seconds(value: object) -> float | None:
    """Return a number of seconds in a Status, from 0 to `MAX_RETRY_AFTER`; `None` for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(min(max(value, 0), MAX_RETRY_AFTER))


def api_error(
    status: int,
    body: Mapping[str, Any] | None = None,
    *,
    text: str = "",
    retry_after: float | None = None,
    doing: str = "",
) -> ApiError:
    """Make the exception for an HTTP status and the Status object (meta/v1) that came with it.

    Args:
        status: the HTTP status code, or the `code` of a Status inside a stream.
        body: the decoded Status, if the answer was one.
        text: the answer's text if it was no Status; the message shows at most 200 characters of it.
        retry_after: seconds from the `Retry-After` header; else `details.retryAfterSeconds` is taken.
        doing: the refused action, for the message.
    """
    body = body or {}
    raw_details = body.get("details")
    details: dict[str, Any] = raw_details if isinstance(raw_details, dict) else {}
    reason = str(body.get("reason") or "")
    message = str(body.get("message") or "") or " ".join(text.split())[:200]
    if retry_after is None:
        retry_after = _seconds(details.get("retryAfterSeconds"))
    causes = details.get("causes")
    causes = [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []
    cause_reasons = {cause["reason"] for cause in causes if isinstance(cause.get("reason"), str)}
    if status == 404 and message == _NO_SUCH_PATH:
        message += _NO_SUCH_PATH_HINT
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if reason == "AlreadyExists":
        kind = AlreadyExistsError
    elif kind is ConflictError and _FIELD_CONFLICT in cause_reasons:
        kind = ApplyConflictError
    elif reason in {"Expired", "Gone"}:
        kind = ExpiredError
    elif "ResourceVersionTooLarge" in cause_reasons or message.startswith("Too large resource version"):
        # The message alone is all that servers up to 1.18 send (client-go, isTooLargeResourceVersionError).
        kind = ResourceVersionTooLargeError
    return kind(message, status=status, reason=reason, details=details, retry_after=retry_after, doing=doing)


class UnsyncedReadWarning(RuntimeWarning):
    """A cache was read before its first list, so objects may be missing; given once per informer.

    A program that takes missing objects for deleted ones does harm. Python's filters of warnings can make it an
    exception: `-W error::kinformer.UnsyncedReadWarning`.
    """


class SwappedArgumentsWarning(RuntimeWarning):
    """`Lister.get` found nothing, and would have found an object with name and namespace in the other order."""
