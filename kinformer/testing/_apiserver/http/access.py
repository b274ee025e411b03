"""Who asks, and what they may: bearer tokens, and denials verb by verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing._apiserver.http.requests import Target

__all__ = ["ANONYMOUS", "Access", "Denial"]

ANONYMOUS: Final = "system:anonymous"
"""Who asks without saying who he is; he may do nothing."""

# The default role system:public-info-viewer (kubernetes.io, "Using RBAC").
_PUBLIC: Final = frozenset({"healthz", "livez", "readyz", "version"})


@dataclass(frozen=True, slots=True)
class Denial:
    """What a user may not do; "*" stands for every verb or every resource, `None` for every namespace."""

    user: str
    verb: str
    resource: str
    namespace: str | None = None

    def covers(self, user: str, verb: str, target: Target) -> bool:
        """Report whether it forbids this."""
        return (
            self.user == user
            and self.verb in {"*", verb}
            and self.resource in {"*", target.kind.plural, status.qualified(target.kind)}
            and self.namespace in {None, target.namespace}
        )


class Access:
    """Authentication and authorization.

    Args:
        tokens: user names by bearer token. Without any, everybody is an administrator, whatever token they send.
    """

    def __init__(self, tokens: Mapping[str, str] | None) -> None:
        self.tokens: dict[str, str] = dict(tokens or {})
        self._anybody = tokens is None
        self._denials: list[Denial] = []

    def user(self, authorization: str, certified: str = "") -> str:
        """Who sends a request.

        Args:
            authorization: its Authorization header, or "".
            certified: the name in the client certificate of its connection, which wins; or "".

        Raises:
            Refusal: 401: a bearer token that nobody has. Without any, it is from `ANONYMOUS`.
        """
        if certified:
            return certified
        # What comes after a second space is not looked at (apiserver pkg/authentication/request/bearertoken).
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.partition(" ")[0] if scheme.lower() == "bearer" else ""
        if token in self.tokens:
            return self.tokens[token]
        if self._anybody and not self.tokens:
            return "kubernetes-admin"
        if token:
            raise status.unauthorized()
        return ANONYMOUS

    def authorize_path(self, user: str, verb: str, path: str) -> None:
        """Let a path that is no resource pass, or refuse: who is known may see discovery, everybody the version.

        Raises:
            Refusal: 403.
        """
        if user == ANONYMOUS and path.split("/")[1] not in _PUBLIC:
            raise status.forbidden_path(user, verb, path)

    def authorize(self, user: str, verb: str, target: Target) -> None:
        """Let it pass, or refuse.

        Raises:
            Refusal: 403.
        """
        if user == ANONYMOUS or any(denial.covers(user, verb, target) for denial in self._denials):
            raise status.forbidden(user, verb, target.kind, target.namespace, target.name, target.subresource)

    def deny(self, user: str, verb: str, resource: str, namespace: str | None = None) -> None:
        """Forbid something from now on; watches that are open go on, as on a real server."""
        self._denials.append(Denial(user, verb, resource, namespace))

    def allow(self, user: str, verb: str = "*", resource: str = "*", namespace: str | None = None) -> None:
        """Take back denials: those that this covers."""
        self._denials = [
            denial
            for denial in self._denials
            if not (
                denial.user == user
                and verb in {"*", denial.verb}
                and resource in {"*", denial.resource}
                and namespace in {None, denial.namespace}
            )
        ]
