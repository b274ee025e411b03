"""Virtual resources: reviews of access and of tokens, and the tokens of service accounts. Nothing of them is stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.testing._apiserver.http.access import Issued
from kinformer.testing._apiserver.rules.bodies import of_kind
from kinformer.testing._apiserver.rules.managed_fields import Manager, record_update
from kinformer.testing._apiserver.rules.rbac import Attributes, User, rules_of
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.structure import builtin

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.access import Access
    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["Reviews"]

_AUDIENCE: Final = "https://kubernetes.default.svc"
_SHORTEST: Final = 600
_LONGEST: Final = 1 << 32
_GROUPS: Final = {"authorization.k8s.io", "authentication.k8s.io"}


class Reviews:
    """Answers posted reviews and token requests.

    Args:
        registry: the objects.
        access: the users and their permissions.
    """

    def __init__(self, registry: Registry, access: Access) -> None:
        self._registry = registry
        self._access = access
        self._key = secrets.token_bytes(32)

    @staticmethod
    def is_review(target: Target) -> bool:
        """Report whether a target is a virtual resource of these."""
        kind = target.kind
        return kind.group in _GROUPS or (kind.plural == "serviceaccounts" and target.subresource == "token")

    def answer(self, target: Target, body: Any, user: User, manager: str, now: datetime) -> dict[str, Any]:
        """Answer a review or a token request.

        Raises:
            Refusal: 400, 404 or 422.
        """
        if target.subresource == "token":
            return self._token(target, body, manager, now)
        kind = target.kind
        review = self._read(body, kind.kind, kind.api_version)
        _check_identity(kind, review)
        metadata = self._metadata(review, kind.api_version, manager, now, namespace=target.namespace)
        match kind.plural:
            case "selfsubjectreviews":
                metadata["creationTimestamp"] = _text(now)
                state: dict[str, Any] = {"userInfo": _user_info(user)}
            case "tokenreviews":
                state = self._token_review(review, now)
            case "selfsubjectrulesreviews":
                state = self._rules(review, user)
            case "selfsubjectaccessreviews":
                state = self._access_review(kind, review, user)
            case _:
                state = self._access_review(kind, review, self._subject(kind, review), target.namespace)
        known = {name: value for name, value in review.items() if name in {"kind", "apiVersion", "spec"}}
        return known | {"metadata": metadata, "status": state}

    @staticmethod
    def _read(body: Any, kind: str, api_version: str) -> dict[str, Any]:
        return of_kind(body, kind, api_version, builtin(api_version, kind))

    @staticmethod
    def _metadata(
        review: dict[str, Any], api_version: str, manager: str, now: datetime, *, namespace: str, subresource: str = ""
    ) -> dict[str, Any]:
        owned = {name: value for name, value in review.items() if name != "status"}
        managed = record_update(
            *(None, owned | {"metadata": {}}),
            structure=builtin(api_version, review["kind"]),
            custom=False,
            manager=Manager(manager, api_version, subresource),
            now=_text(now),
        )
        metadata = dict(review.get("metadata") or {}) | ({"namespace": namespace} if namespace else {})
        return metadata | ({"managedFields": managed} if managed else {})

    def _subject(self, kind: ResourceType, review: dict[str, Any]) -> User:
        spec = review.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            cause = (
                "FieldValueRequired",
                "Required value: at least one of user or group must be specified",
                "spec.user",
            )
            raise status.invalid(kind.kind, "", [cause], kind.group)
        groups = tuple(spec.get("groups") or ())
        return User(spec.get("user") or "", groups, spec.get("uid") or "")

    def _access_review(
        self, kind: ResourceType, review: dict[str, Any], user: User, namespace: str = ""
    ) -> dict[str, Any]:
        spec = review.get("spec") or {}
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (resource is None) == (other is None):
            rule = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            message = f"Invalid value: {msgspec.json.encode(resource).decode()}: {rule}"
            raise status.invalid(kind.kind, "", [("FieldValueInvalid", message, "spec.resourceAttributes")], kind.group)
        if namespace and resource is not None and resource.get("namespace") != namespace:
            message = f'Invalid value: "{resource.get("namespace", "")}": must match metadata.namespace'
            cause = ("FieldValueInvalid", message, "spec.resourceAttributes.namespace")
            raise status.invalid(kind.kind, "", [cause], kind.group)
        if resource is not None:
            fields = ("verb", "group", "resource", "subresource", "namespace", "name")
            attributes = Attributes(*(resource.get(name) or "" for name in fields))
        else:
            attributes = Attributes((other or {}).get("verb") or "", path=(other or {}).get("path") or "")
        reason = self._access.reason(user, attributes)
        if reason is None:
            return {"allowed": False}
        return {"allowed": True} | ({"reason": reason} if reason else {})

    def _rules(self, review: dict[str, Any], user: User) -> dict[str, Any]:
        namespace = (review.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise status.bad_request("no namespace on request")
        rules = rules_of(self._registry.store, user, namespace)
        return {
            "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }

    def _token_review(self, review: dict[str, Any], now: datetime) -> dict[str, Any]:
        token = (review.get("spec") or {}).get("token") or ""
        if not token:
            cause = (
                "FieldValueRequired",
                "Required value: token is required for TokenReview in authentication",
                "spec.token",
            )
            raise status.invalid("TokenReview", "", [cause], "authentication.k8s.io")
        user = self._access.user_of(token, now)
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": _user_info(user), "audiences": [_AUDIENCE]}

    def _token(self, target: Target, body: Any, manager: str, now: datetime) -> dict[str, Any]:
        """Issue a token for a service account.

        Raises:
            Refusal: 404, no such account; 422, a time that makes no sense.
        """
        account = self._registry.get(target.kind, target.namespace, target.name).manifest["metadata"]
        version = "authentication.k8s.io/v1"
        request = self._read(body, "TokenRequest", version)
        spec = dict(request.get("spec") or {})
        seconds = spec.get("expirationSeconds", 3600)
        if not _SHORTEST <= seconds <= _LONGEST:
            rule = "may not specify a duration less than 10 minutes" if seconds < _SHORTEST else "is too long"
            cause = ("FieldValueInvalid", f"Invalid value: {seconds}: {rule}", "spec.expirationSeconds")
            raise status.invalid("TokenRequest", "", [cause], "authentication.k8s.io")
        bound = self._bound(target.namespace, spec.get("boundObjectRef"))
        audiences = spec.get("audiences") or [_AUDIENCE]
        expires = now + timedelta(seconds=seconds)
        token = self._signed(target, account["uid"], audiences, now, expires, bound)
        self._access.issued[token] = Issued(target.namespace, target.name, account["uid"], expires)
        filled = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")}
        owned = request | {"spec": {"expirationSeconds": seconds} | spec}
        metadata = self._metadata(owned, version, manager, now, namespace=target.namespace, subresource="token")
        metadata |= {"name": target.name, "uid": account["uid"], "creationTimestamp": account["creationTimestamp"]}
        return {
            "kind": "TokenRequest",
            "apiVersion": version,
            "metadata": metadata,
            "spec": filled,
            "status": {"token": token, "expirationTimestamp": _text(expires)},
        }

    def _bound(self, namespace: str, ref: dict[str, Any] | None) -> dict[str, Any]:
        """The claim of the object that a token is bound to (pkg/registry/core/serviceaccount/storage/token.go).

        Raises:
            Refusal: 400, no token can be bound to such a kind; 404, there is no such object; 409, it is another one.
        """
        if not ref:
            return {}
        kind, name = ref.get("kind") or "", ref.get("name") or ""
        if kind not in {"Pod", "Secret", "Node"} or ref.get("apiVersion") != "v1":
            group, _, version = (ref.get("apiVersion") or "").rpartition("/")
            raise status.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        known = self._registry.catalog.of_kind("v1", kind)
        assert known is not None
        uid = self._registry.get(known, namespace if known.namespaced else "", name).manifest["metadata"]["uid"]
        if ref.get("uid") and ref["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. The object "
                "might have been deleted and then recreated"
            )
            raise status.precondition_failed(known, name, why)
        return {kind.lower(): {"name": name, "uid": uid}}

    def _signed(
        self,
        target: Target,
        uid: str,
        audiences: list[str],
        now: datetime,
        expires: datetime,
        bound: dict[str, Any],
    ) -> str:
        """A JSON web token with the claims of a service account's."""
        claims = {
            "aud": audiences,
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": _AUDIENCE,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": target.namespace,
                "serviceaccount": {"name": target.name, "uid": uid},
            }
            | bound,
            "nbf": int(now.timestamp()),
            "sub": f"system:serviceaccount:{target.namespace}:{target.name}",
        }
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        signature = hmac.new(self._key, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _user_info(user: User) -> dict[str, Any]:
    known = {"uid": user.uid, "groups": [*user.groups], "extra": dict(user.extra)}
    return {"username": user.name} | {name: value for name, value in known.items() if value}


def _check_identity(kind: ResourceType, review: dict[str, Any]) -> None:
    """Refuse a review that has a name: nothing of it is stored."""
    if (review.get("metadata") or {}).get("name"):
        message = f'Invalid value: "{review["metadata"]["name"]}": must be empty'
        raise status.invalid(kind.kind, "", [("FieldValueInvalid", message, "metadata")], kind.group)
