"""Kubeconfig files: read, checked and merged by kubectl's rules (client-go, tools/clientcmd), and taken apart.

`tests/unit/config/test_kubectl_agrees.py` compares verdicts and values with client-go and kubectl.
"""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from kinformer.config._credentials import (
    Credentials,
    ExecCredentials,
    OidcToken,
    StaticCredentials,
    TokenFile,
    basic,
    bearer,
)
from kinformer.config._exec import ExecPlugin
from kinformer.config._impersonation import impersonation_headers
from kinformer.config._kubeconfig_schema import AuthInfo, Cluster, Content, Context, checked, decoded
from kinformer.config._tls import TLS, ClientCertificate, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Entry", "Kubeconfig", "impersonation", "refuse_local_references", "server_url", "tls"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_NO_SCHEME: Final = re.compile(r"(?![a-zA-Z][a-zA-Z0-9+.-]*://)")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One entry of `clusters`, `users` or `contexts`, and the file it is from.

    Attributes:
        name: its name.
        values: its fields.
        base: the directory its relative paths start from; `None` when it is from no file.
        where: the entry and its file, for errors.
    """

    name: str
    values: T = field(repr=False)
    base: Path | None
    where: str

    def path(self, field: str, value: str | None) -> Path | None:
        """Return a file's path, relative to the kubeconfig that names it.

        Raises:
            ConfigError: there is no such file.
        """
        if not value:
            return None
        path = Path(value).expanduser() if self.base is None else self.base / value
        if not path.is_file():
            msg = f"{self.where}: {field} is {path}, and there is no such file"
            raise ConfigError(msg)
        return path

    def pem(self, field: str, path: str | None, data: str | None) -> Pem | None:
        """Return PEM data, inline (base64) or in a file.

        Raises:
            ConfigError: there is no such file, the data is no base64, or there are both.
        """
        if not data:
            found = self.path(field, path)
            return None if found is None else Pem(found)
        if path:
            msg = f"{self.where}: {field} and {field}-data exclude each other; remove one of them"
            raise ConfigError(msg)
        return Pem(data=decoded(data, f"{field}-data", self.where))


@dataclass(frozen=True, slots=True)
class _Named(Generic[T]):
    """An entry before it is looked up: its values, and the file it is from."""

    values: T
    path: Path | None


class Kubeconfig:
    """One or more kubeconfig files, merged as kubectl does: the first file to name an entry wins, as a whole.

    Args:
        contents: the content of each file, and its path; `None` for content from no file.
        name: the files, for errors.
    """

    def __init__(self, contents: Sequence[tuple[Content, Path | None]], *, name: str) -> None:
        self._name = name
        self._current = next((content.current_context for content, _ in contents if content.current_context), "")
        self._clusters: dict[str, _Named[Cluster]] = {}
        self._users: dict[str, _Named[AuthInfo]] = {}
        self._contexts: dict[str, _Named[Context]] = {}
        for content, path in contents:
            for cluster in filter(None, content.clusters or ()):
                self._clusters.setdefault(cluster.name or "", _Named(cluster.cluster or Cluster(), path))
            for user in filter(None, content.users or ()):
                self._users.setdefault(user.name or "", _Named(user.user or AuthInfo(), path))
            for context in filter(None, content.contexts or ()):
                self._contexts.setdefault(context.name or "", _Named(context.context or Context(), path))

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Kubeconfig:
        """Read and merge files. This blocks for some milliseconds, so call it in a thread.

        Raises:
            ConfigError: a file cannot be read, or is no kubeconfig; names it.
        """
        return cls([(_content(path), path) for path in paths], name=", ".join(map(str, paths)))

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Kubeconfig:
        """Take the content of a kubeconfig.

        Raises:
            ConfigError: it is no kubeconfig.
        """
        name = "the kubeconfig given"
        return cls([(checked(content, name), None)], name=name)

    @classmethod
    def of_text(cls, text: bytes, *, name: str) -> Kubeconfig:
        """Take the text of a kubeconfig.

        Raises:
            ConfigError: it is no kubeconfig; names it.
        """
        return cls([(_parsed(text, name), None)], name=name)

    def contexts(self) -> list[str]:
        """Return the names of all contexts, sorted."""
        return sorted(self._contexts)

    def default_context(self) -> str | None:
        """Return the name of the only context if none is current; `None` otherwise: take the current one."""
        return next(iter(self._contexts)) if len(self._contexts) == 1 and not self._current else None

    def context(self, name: str | None) -> Entry[Context]:
        """Return a context; `None` asks for the current one.

        Raises:
            ConfigError: there is none of that name, or none is current; lists those that exist.
        """
        known = ", ".join(self.contexts()) or "none"
        wanted = name or self._current
        if not wanted:
            msg = f"{self._name}: no current-context is set; name one of the contexts there are: {known}"
            raise ConfigError(msg)
        entry = self._entry("context", wanted, self._contexts)
        if entry is None:
            which = "" if name else ", which is its current-context"
            msg = f"{self._name}: there is no context {wanted!r}{which}; the contexts there are: {known}"
            raise ConfigError(msg)
        return entry

    def cluster(self, context: Entry[Context]) -> Entry[Cluster]:
        """Return the cluster of a context.

        Raises:
            ConfigError: the context names none, or one that does not exist, or one without a server.
        """
        name = context.values.cluster
        entry = self._entry("cluster", name, self._clusters) if name else None
        if entry is None:
            msg = f"{context.where}: " + (f"there is no cluster {name!r}" if name else "it names no cluster")
            raise ConfigError(msg)
        if not entry.values.server:
            msg = f"{entry.where}: it names no server"
            raise ConfigError(msg)
        return entry

    def user(self, context: Entry[Context]) -> Entry[AuthInfo]:
        """Return the user of a context; an empty one where the context names none.

        Raises:
            ConfigError: the context names one that does not exist.
        """
        name = context.values.user
        if not name:
            return Entry("", AuthInfo(), None, context.where)
        entry = self._entry("user", name, self._users)
        if entry is None:
            msg = f"{context.where}: there is no user {name!r}"
            raise ConfigError(msg)
        return entry

    def credentials(self, user: Entry[AuthInfo], cluster: Entry[Cluster]) -> Credentials:
        """Return the source of the user's authorization, in kubectl's order of preference.

        Raises:
            ConfigError: the fields of the user's entry cannot be used, or exclude each other.
        """
        values, where = user.values, user.where
        if values.token and values.username:
            msg = f"{where}: token and username exclude each other; remove one of them"
            raise ConfigError(msg)
        if values.auth_provider is not None and values.exec is not None:
            msg = f"{where}: auth-provider and exec exclude each other; remove auth-provider"
            raise ConfigError(msg)
        provider = None if values.auth_provider is None else self._provider(user)
        plugin = None
        if values.exec is not None:
            # Read also where a token is used instead of it: a mistake in it is a mistake.
            plugin = ExecPlugin.from_kubeconfig(
                values.exec, where=where, base=user.base, cluster=_cluster_info(cluster)
            )
        token = bearer(values.token, where=where) if values.token else None
        token_file = user.path("tokenFile", values.token_file)
        if token_file is not None:
            # The file wins, and the token bridges the time until it can be read (client-go, rest.Config).
            source = TokenFile(Pem(token_file), fallback=token)
            source.current()
            return source
        if token is not None:
            return StaticCredentials(token)
        if values.username:
            return StaticCredentials(basic(values.username, values.password or ""))
        if provider is not None:
            return provider
        return StaticCredentials() if plugin is None else ExecCredentials(plugin)

    def _provider(self, user: Entry[AuthInfo]) -> OidcToken:
        provider = user.values.auth_provider
        assert provider is not None
        if provider.name != "oidc":
            msg = (
                f"{user.where}: auth-provider {provider.name!r} is not known (kubectl has removed azure and gcp, too); "
                "use an exec plugin instead"
            )
            raise ConfigError(msg)
        path = self._users[user.name].path
        given = (provider.config or {}).get("id-token")

        def read() -> str | None:
            if path is None:
                return given
            entries = filter(None, _content(path).users or ())
            now = next((entry.user for entry in entries if entry.name == user.name), None)
            return (
                None if now is None or now.auth_provider is None else (now.auth_provider.config or {}).get("id-token")
            )

        return OidcToken(read, where=user.where)

    def _entry(self, kind: str, name: str, entries: dict[str, _Named[T]]) -> Entry[T] | None:
        found = entries.get(name)
        if found is None:
            return None
        file = self._name if found.path is None else str(found.path)
        base = None if found.path is None else found.path.absolute().parent
        return Entry(name, found.values, base, f"{file}: {kind} {name!r}")


def server_url(cluster: Entry[Cluster]) -> tuple[str, bool]:
    """Return the server's URL, and whether credentials may be sent to it.

    As with kubectl, a server without a scheme is reached by http, and then gets no credentials: they would pass the
    network in clear text without the user having written so.

    Raises:
        ConfigError: there is a path behind a host without a scheme.
    """
    server = cluster.values.server or ""
    if not _NO_SCHEME.match(server):
        return server, True
    if "/" in server:
        msg = f"{cluster.where}: its server has a path and no scheme; begin it with https://"
        raise ConfigError(msg)
    return f"http://{server}", False


def tls(cluster: Entry[Cluster], user: Entry[AuthInfo]) -> TLS:
    """Return the rules by which a cluster is verified, and the user's certificate.

    Raises:
        ConfigError: a file is missing, a certificate comes without its key, or an authority comes with
            `insecure-skip-tls-verify`.
    """
    values, login = cluster.values, user.values
    certificate = user.pem("client-certificate", login.client_certificate, login.client_certificate_data)
    key = None
    if certificate is not None:
        key = user.pem("client-key", login.client_key, login.client_key_data)
        if key is None:
            msg = f"{user.where}: client-certificate and client-key go together, and client-key is missing"
            raise ConfigError(msg)
    authority = cluster.pem("certificate-authority", values.certificate_authority, values.certificate_authority_data)
    insecure = bool(values.insecure_skip_tls_verify)
    if authority is not None and insecure:
        msg = (
            f"{cluster.where}: certificate-authority and insecure-skip-tls-verify exclude each other; remove the latter"
        )
        raise ConfigError(msg)
    return TLS(
        ca=authority,
        certificate=None if certificate is None or key is None else ClientCertificate(certificate, key),
        server_name=values.tls_server_name or None,
        verify=not insecure,
    )


def refuse_local_references(cluster: Entry[Cluster], user: Entry[AuthInfo]) -> None:
    """Refuse a kubeconfig that would start programs or read files of this machine.

    An exec plugin runs any program; a token file could be the one of this program's own service account, and would be
    sent to a server that the author of the kubeconfig has chosen.

    Raises:
        ConfigError: names the fields, and the ones to use instead.
    """
    values, login = cluster.values, user.values
    found = [
        field
        for field, value in (
            ("certificate-authority", values.certificate_authority),
            ("exec", login.exec),
            ("auth-provider", login.auth_provider),
            ("tokenFile", login.token_file),
            ("client-certificate", login.client_certificate),
            ("client-key", login.client_key),
        )
        if value
    ]
    if found:
        msg = (
            f"{user.where}: {', '.join(found)} would start a program or read a file here, which is refused for a "
            "kubeconfig from another place; use token, client-certificate-data, client-key-data and "
            "certificate-authority-data"
        )
        raise ConfigError(msg)


def impersonation(user: Entry[AuthInfo]) -> dict[str, list[str]]:
    """Return the headers that ask the server to act as another user (`as`, `as-groups`, `as-uid`, `as-user-extra`).

    Raises:
        ConfigError: groups or extras without a user, which the server refuses.
    """
    values = user.values
    headers = impersonation_headers(
        values.as_user or "",
        groups=[group or "" for group in values.as_groups or ()],
        uid=values.as_uid or "",
        extra={key: [value or "" for value in extra or ()] for key, extra in (values.as_user_extra or {}).items()},
    )
    if headers and not values.as_user:
        msg = f"{user.where}: as-uid, as-groups and as-user-extra need `as`, the user's name"
        raise ConfigError(msg)
    return headers


def _cluster_info(cluster: Entry[Cluster]) -> dict[str, Any]:
    """Return the description of the cluster for an exec plugin (client.authentication.k8s.io/v1, Cluster)."""
    values = cluster.values
    fields: dict[str, Any] = {
        "server": values.server,
        "tls-server-name": values.tls_server_name,
        "insecure-skip-tls-verify": values.insecure_skip_tls_verify,
        "proxy-url": values.proxy_url,
        "disable-compression": values.disable_compression,
    }
    info = {name: value for name, value in fields.items() if value}
    authority = cluster.pem("certificate-authority", values.certificate_authority, values.certificate_authority_data)
    if authority is not None:
        info["certificate-authority-data"] = base64.b64encode(authority.read()).decode()
    for extension in filter(None, values.extensions or ()):
        if extension.name == "client.authentication.k8s.io/exec":
            info["config"] = extension.extension
    return info


def _content(path: Path) -> Content:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, or is no kubeconfig; names it.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        msg = f"cannot read kubeconfig {path}: {error.strerror or error}"
        raise ConfigError(msg) from error
    return _parsed(text, f"kubeconfig {path}")


def _parsed(text: bytes, name: str) -> Content:
    """Parse a kubeconfig.

    Raises:
        ConfigError: it is no kubeconfig; names it.
    """
    # Imported here: inside a cluster no kubeconfig is read.
    from kinformer.config._yaml import YamlError, read_yaml

    try:
        return checked(read_yaml(text), name)
    except YamlError as error:
        msg = f"{name} {error}"
        raise ConfigError(msg) from None
