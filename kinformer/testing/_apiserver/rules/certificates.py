"""CertificateSigningRequests: their requester, their times, and the form of their data (pkg/registry/certificates).

Nothing signs here: a request stays pending until a client approves or denies it, and gets the certificate that a client
writes into its status.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.rbac import User
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["CERTIFICATES", "next_request", "request_block", "with_requester"]

CERTIFICATES: Final = ("certificates.k8s.io", "certificatesigningrequests")
"""The place where they are stored."""

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


def with_requester(body: Any, user: User) -> Any:
    """The body of a new request with the user that it comes from, whatever the client says."""
    if not isinstance(body, dict) or not isinstance(body.get("spec"), dict):
        return body
    given = {name: value for name, value in body["spec"].items() if name not in {"username", "uid", "groups", "extra"}}
    requester = {"username": user.name, "uid": user.uid, "groups": [*user.groups], "extra": dict(user.extra)}
    return body | {"spec": given | {name: value for name, value in requester.items() if value}}


def next_request(current: dict[str, Any], wanted: dict[str, Any], subresource: str, now: str) -> dict[str, Any]:
    """The next state of a request: its spec stays, and new conditions get their times.

    Raises:
        Refusal: 422, its certificate is none.
    """
    if not subresource:
        return wanted | {"spec": current["spec"]}
    before = {one.get("type"): one for one in (current.get("status") or {}).get("conditions") or ()}
    state = dict(wanted.get("status") or {})
    if subresource == "approval":
        # Only the conditions change (pkg/registry/certificates/certificates/strategy.go).
        kept = current.get("status") or {}
        state = {name: value for name, value in kept.items() if name != "conditions"} | {
            "conditions": state.get("conditions") or []
        }
    certificate = state.get("certificate")
    if certificate and b"CERTIFICATE" not in _blocks(certificate):
        why = "must contain at least one CERTIFICATE PEM block"
        cause = invalid_value("status.certificate", "<certificate data>", why)
        raise status.invalid("CertificateSigningRequest", current["metadata"]["name"], [cause], CERTIFICATES[0])
    conditions = [_with_times(one, before.get(one.get("type")), now) for one in state.get("conditions") or ()]
    state = {name: value for name, value in state.items() if name != "conditions"}
    state |= {"conditions": conditions} if conditions else {}
    return {name: value for name, value in wanted.items() if name != "status"} | ({"status": state} if state else {})


def _with_times(condition: dict[str, Any], before: dict[str, Any] | None, now: str) -> dict[str, Any]:
    same = before is not None and before.get("status") == condition.get("status")
    since = (before or {}).get("lastTransitionTime") if same else None
    return condition | {
        "lastUpdateTime": condition.get("lastUpdateTime") or now,
        "lastTransitionTime": condition.get("lastTransitionTime") or since or now,
    }


def request_block(value: Any, path: str) -> Iterator[Cause]:
    """A request in PEM."""
    if value and _blocks(value)[:1] != [b"CERTIFICATE REQUEST"]:
        yield invalid_value(path, value, "PEM block type must be CERTIFICATE REQUEST")


def _blocks(value: Any) -> list[bytes]:
    try:
        return _BLOCK.findall(base64.b64decode(value))
    except (binascii.Error, ValueError, TypeError):
        return []
