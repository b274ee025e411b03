"""Who asks, and what they may: bearer tokens, and denials verb by verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinformer.testing import status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing.requests import Target

__all__ = ["Access", "Denial"]


@dataclass(frozen=True, slots=True)
class Denial:
    """What a user may not do; "*" stands for every verb or every resource, `None` for every namespace."""

    user: str
    verb: str
    resource: str
    namespace: str | None = None

    def covers(self, user: str, verb: str, target: Target) -> bool:
        """Whether it forbids this."""
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

    def user(self, authorization: str) -> str:
        """Who sends this Authorization header.

        Raises:
            Refusal: 401.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token in self.tokens:
            return self.tokens[token]
        if self._anybody and not self.tokens:
            return "kubernetes-admin"
        raise status.unauthorized()

    def authorize(self, user: str, verb: str, target: Target) -> None:
        """Let it pass, or refuse.

        Raises:
            Refusal: 403.
        """
        if any(denial.covers(user, verb, target) for denial in self._denials):
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
