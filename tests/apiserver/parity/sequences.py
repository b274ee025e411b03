"""All requests, in the order in which they are sent."""

from __future__ import annotations

from tests.apiserver.parity.requests import NAMESPACE, Request, generated

__all__ = ["all_requests"]


def all_requests() -> list[Request]:
    """Return all requests."""
    first = [
        Request("namespace", "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        Request(
            "account",
            "POST",
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
            {"metadata": {"name": "default"}},
        ),
    ]
    return [*first, *generated()]
