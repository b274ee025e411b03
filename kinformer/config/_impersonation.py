"""The headers that ask the server to act as another user."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["impersonation_headers", "without_impersonation"]


def impersonation_headers(
    user: str,
    *,
    groups: Sequence[str] = (),
    uid: str = "",
    extra: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """Return the headers of a user, its groups, its UID and its further attributes.

    A header's name has fewer characters than a key, such as "example.com/project", so keys are escaped (client-go:
    transport/round_trippers.go, headerKeyEscape).
    """
    headers = {"Impersonate-User": [user]} if user else {}
    if uid:
        headers["Impersonate-Uid"] = [uid]
    if groups:
        headers["Impersonate-Group"] = [*groups]
    for key, values in (extra or {}).items():
        escaped = quote(key, safe="!#$&'*+-.^_`|~")
        headers[f"Impersonate-Extra-{escaped}"] = [*values]
    return headers


def without_impersonation(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return headers without those of a user."""
    return {name: values for name, values in headers.items() if not name.lower().startswith("impersonate-")}
