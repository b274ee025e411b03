"""Authentication and authorization: bearer tokens, impersonation, denials verb by verb, and roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from kinformer.testing._apiserver.rules.rbac import MASTERS, Attributes, User, granted
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from multidict import CIMultiDictProxy

    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.store.storage import Store

__all__ = ["ANONYMOUS", "Access", "Denial", "Issued"]

ANONYMOUS: Final = "system:anonymous"
"""The user of a request without credentials, which may do nothing."""

_ADMIN: Final = User("kubernetes-admin", (MASTERS, "system:authenticated"), "kubernetes-admin")
_AUTHENTICATED: Final = "system:authenticated"
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
_EXTRA: Final = "Impersonate-Extra-"

# The default role system:public-info-viewer (kubernetes.io, "Using RBAC").
_PUBLIC: Final = frozenset({"healthz", "livez", "readyz", "version"})


@dataclass(frozen=True, slots=True)
class Denial:
    """A verb that is forbidden to a user; "*" stands for every verb or resource, `None` for every namespace."""

    user: str
    verb: str
    resource: str
    namespace: str | None = None

    def covers(self, user: str, attributes: Attributes) -> bool:
        """Report whether it forbids this."""
        plural = attributes.resource
        qualified = f"{plural}.{attributes.group}" if attributes.group else plural
        return (
            self.user == user
            and not attributes.path
            and self.verb in {"*", attributes.verb}
            and self.resource in {"*", plural, qualified}
            and self.namespace in {None, attributes.namespace}
        )


class Issued(NamedTuple):
    """A token that a TokenRequest was answered with."""

    namespace: str
    account: str
    uid: str
    expires: datetime


class Access:
    """Authentication and authorization.

    Args:
        tokens: user names by bearer token. Without any, every user is an administrator, whatever its token.
        groups: the groups of users by name, beside `system:authenticated`.
        store: the objects, among them the roles and bindings.
        rbac: whether the roles decide. Otherwise a known user may do everything that is not denied.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None,
        store: Store,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        rbac: bool = False,
    ) -> None:
        self.tokens: dict[str, str] = dict(tokens or {})
        self.issued: dict[str, Issued] = {}
        self._groups = dict(groups or {})
        self._store = store
        self._rbac = rbac
        self._is_open = tokens is None
        self._denials: list[Denial] = []

    def user(
        self,
        authorization: str,
        certified: str = "",
        organizations: Sequence[str] = (),
        *,
        now: datetime | None = None,
    ) -> User:
        """The user of a request.

        Args:
            authorization: its Authorization header, or "".
            certified: the name in the client certificate of its connection, which wins; or "".
            organizations: the organizations in the certificate, which are groups of the user.
            now: the time, for tokens that expire.

        Raises:
            Refusal: 401: an unknown bearer token. A request without any is from `ANONYMOUS`.
        """
        if certified:
            user = self.named(certified)
            return user._replace(groups=tuple(dict.fromkeys([*organizations, *user.groups])))
        # The text after a second space is not looked at (apiserver pkg/authentication/request/bearertoken).
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.partition(" ")[0] if scheme.lower() == "bearer" else ""
        if (known := self.user_of(token, now)) is not None:
            return known
        if self._is_open and not self.tokens:
            return _ADMIN
        if token:
            raise status.unauthorized()
        return User(ANONYMOUS, ("system:unauthenticated",))

    def user_of(self, token: str, now: datetime | None = None) -> User | None:
        """The user that a token belongs to, or `None`."""
        if token in self.tokens:
            return self.named(self.tokens[token])
        issued = self.issued.get(token)
        if issued is None or (now is not None and now >= issued.expires):
            return None
        stored = self._store.get(("", "serviceaccounts"), (issued.namespace, issued.account))
        if stored is None or stored.manifest["metadata"]["uid"] != issued.uid:
            return None
        return self.named(f"{_ACCOUNT_PREFIX}{issued.namespace}:{issued.account}")._replace(uid=issued.uid)

    def named(self, name: str) -> User:
        """A user with the groups that it is in."""
        groups = [*self._groups.get(name, ()), _AUTHENTICATED]
        if name.startswith(_ACCOUNT_PREFIX):
            namespace = name.removeprefix(_ACCOUNT_PREFIX).partition(":")[0]
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", *groups]
        return User(name, tuple(groups))

    def impersonated(self, user: User, headers: CIMultiDictProxy[str]) -> User:
        """The user that a request impersonates, or its own (`kubectl --as`).

        Raises:
            Refusal: 400 for a group without a user, 403 if the user may not impersonate.
        """
        name = headers.get("Impersonate-User", "")
        groups = headers.getall("Impersonate-Group", [])
        if not name:
            if groups or "Impersonate-Uid" in headers:
                raise status.bad_request("requested impersonation of a group or an uid without impersonating a user")
            return user
        for kind, wanted in (("users", name), *(("groups", group) for group in groups)):
            attributes = Attributes("impersonate", resource=kind, name=wanted)
            if self.reason(user, attributes) is None:
                raise status.forbidden_to(user.name, attributes)
        found = self.named(name)
        if groups:
            found = found._replace(groups=(*groups, *(() if _AUTHENTICATED in groups else (_AUTHENTICATED,))))
        named = (n for n in headers if n.lower().startswith(_EXTRA.lower()))
        # A key is escaped, because a header's name has fewer characters (apiserver impersonation.go, unescapeExtraKey).
        extra = {unquote(n[len(_EXTRA) :].lower()): headers.getall(n) for n in named}
        return found._replace(uid=headers.get("Impersonate-Uid", ""), extra=extra)

    def reason(self, user: User, attributes: Attributes) -> str | None:
        """The reason why a user may do something ("" if there is nothing to say), or `None` if it may not."""
        if any(denial.covers(user.name, attributes) for denial in self._denials):
            return None
        if self._rbac:
            return granted(self._store, user, attributes)
        if user.name == ANONYMOUS:
            is_public = bool(attributes.path) and attributes.path.split("/")[1] in _PUBLIC
            return "" if is_public else None
        return ""

    def authorize_path(self, user: User, verb: str, path: str) -> None:
        """Let a path that is no resource pass, or refuse; a known user may see discovery, every user the version.

        Raises:
            Refusal: 403.
        """
        if self.reason(user, Attributes(verb, path=path)) is None:
            raise status.forbidden_path(user.name, verb, path)

    def authorize(self, user: User, verb: str, target: Target) -> None:
        """Let a request pass, or refuse.

        Raises:
            Refusal: 403.
        """
        kind = target.kind
        attributes = Attributes(verb, kind.group, kind.plural, target.subresource, target.namespace, target.name)
        if self.reason(user, attributes) is None:
            raise status.forbidden_to(user.name, attributes)

    def deny(self, user: str, verb: str, resource: str, namespace: str | None = None) -> None:
        """Forbid something from now on; watches that are open go on, as on a real server."""
        self._denials.append(Denial(user, verb, resource, namespace))

    def allow(self, user: str, verb: str = "*", resource: str = "*", namespace: str | None = None) -> None:
        """Take back the denials that this covers."""
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
