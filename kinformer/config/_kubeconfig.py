"""Kubeconfig files: kubernetes_asyncio reads and merges them, this module takes them apart.

kubernetes_asyncio's loader runs exec plugins once, copies inline keys to files that stay, resolves a user's files
against the directory of the cluster, and fails on a context without a user; so only its merging and its auth
providers are used.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinformer.config._credentials import (
    AuthProvider,
    Credentials,
    ExecCredentials,
    StaticCredentials,
    TokenFile,
    basic,
    bearer,
)
from kinformer.config._exec import ExecPlugin
from kinformer.config._tls import TLS, ClientCertificate, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Kubeconfig", "Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of `clusters`, `users` or `contexts`, and the file it is from.

    Attributes:
        values: what it says.
        base: the directory its relative paths start from; `None` when it is from no file.
        where: the entry and its file, for errors.
    """

    values: Mapping[str, Any] = field(repr=False)
    base: Path | None
    where: str

    def text(self, name: str) -> str | None:
        """A text, or `None` when there is none."""
        value = self.values.get(name)
        return None if value is None or value == "" else str(value)

    def path(self, name: str) -> Path | None:
        """A file's path, relative to the kubeconfig it is named in.

        Raises:
            ConfigError: there is no such file.
        """
        value = self.text(name)
        if value is None:
            return None
        path = Path(value).expanduser() if self.base is None else self.base / value
        if not path.is_file():
            msg = f"{self.where}: {name} is {path}, and there is no such file"
            raise ConfigError(msg)
        return path

    def pem(self, name: str) -> Pem | None:
        """PEM text, inline (`name-data`, base64) or in a file; inline wins.

        Raises:
            ConfigError: there is no such file, or the data is no base64.
        """
        data = self.text(f"{name}-data")
        if data is None:
            path = self.path(name)
            return None if path is None else Pem(path)
        try:
            return Pem(text=base64.b64decode("".join(data.split()), validate=True).decode("ascii"))
        except (binascii.Error, UnicodeDecodeError):
            msg = f"{self.where}: {name}-data is not the base64 of PEM text"
            raise ConfigError(msg) from None


class Kubeconfig:
    """One or more kubeconfig files, merged as kubectl does: the first to name something wins.

    Args:
        merged: the merged content, entries possibly wrapped in kubernetes_asyncio's `ConfigNode`.
        name: the files, for errors.
        current: the current context, or "".
        loader: makes kubernetes_asyncio's loader for a context, for its auth providers.
    """

    def __init__(
        self, merged: Mapping[str, Any], *, name: str, current: str, loader: Callable[[str], Any] | None
    ) -> None:
        self._merged = merged
        self._name = name
        self._current = current
        self._loader = loader

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Kubeconfig:
        """Read and merge files. Blocks: imports kubernetes_asyncio (half a second), so call it in a thread.

        Raises:
            ConfigError: a file cannot be read, or is no kubeconfig; names it.
        """
        module = importlib.import_module("kubernetes_asyncio.config.kube_config")
        for path in paths:
            _check(path)
        name = ", ".join(map(str, paths))
        merger = module.KubeConfigMerger(module.ENV_KUBECONFIG_PATH_SEPARATOR.join(map(str, paths)))
        files: Mapping[str, Mapping[str, Any]] = merger.config_files
        # The merger lets the last file that names a context win; with kubectl it is the first.
        current = next((str(c["current-context"]) for c in files.values() if c.get("current-context")), "")

        def loader(context: str) -> Any:
            return module.KubeConfigLoader(
                config_dict=merger.config,
                active_context=context,
                config_base_path=None,
                config_persister=merger.save_changes,
            )

        return cls(merger.config.value, name=name, current=current, loader=loader)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Kubeconfig:
        """Take the content of a kubeconfig as it is.

        Raises:
            ConfigError: it is no kubeconfig.
        """
        _check_content(content, "the kubeconfig given")

        def loader(context: str) -> Any:
            module = importlib.import_module("kubernetes_asyncio.config.kube_config")
            return module.KubeConfigLoader(config_dict=content, active_context=context, config_base_path="")

        current = str(content.get("current-context") or "")
        return cls(content, name="the kubeconfig given", current=current, loader=loader)

    def contexts(self) -> list[str]:
        """The names of all contexts, sorted."""
        return sorted(str(_unwrapped(entry)[0].get("name")) for entry in self._merged.get("contexts") or ())

    def context(self, name: str | None) -> tuple[str, Section]:
        """A context and its name; `None` asks for the current one.

        Raises:
            ConfigError: there is none of that name, or none is current; lists those there are.
        """
        known = ", ".join(self.contexts()) or "none"
        wanted = name or self._current
        if not wanted:
            msg = f"{self._name}: no current-context is set; name one of the contexts there are: {known}"
            raise ConfigError(msg)
        section = self._find("contexts", wanted)
        if section is None:
            whose = "" if name else ", which is its current-context"
            msg = f"{self._name}: there is no context {wanted!r}{whose}; the contexts there are: {known}"
            raise ConfigError(msg)
        return wanted, section

    def cluster(self, context: Section) -> Section:
        """The cluster of a context.

        Raises:
            ConfigError: the context names none, or one that is not there, or one without a server.
        """
        name = context.text("cluster")
        section = self._find("clusters", name) if name else None
        if section is None:
            msg = f"{context.where}: " + (f"there is no cluster {name!r}" if name else "it names no cluster")
            raise ConfigError(msg)
        if section.text("server") is None:
            msg = f"{section.where}: it names no server"
            raise ConfigError(msg)
        return section

    def user(self, context: Section) -> Section:
        """The user of a context; an empty one where the context names none.

        Raises:
            ConfigError: the context names one that is not there.
        """
        name = context.text("user")
        if name is None:
            return Section({}, None, context.where)
        section = self._find("users", name)
        if section is None:
            msg = f"{context.where}: there is no user {name!r}"
            raise ConfigError(msg)
        return section

    def credentials(self, context_name: str, user: Section, cluster: Section) -> Credentials:
        """Where the user's authorization comes from, in kubectl's order of preference.

        Raises:
            ConfigError: what the user's entry says cannot be used.
        """
        values = user.values
        if values.get("auth-provider"):
            return AuthProvider(self._provider(context_name, user), where=user.where)
        token, token_file = user.text("token"), user.path("tokenFile")
        if token_file is not None:
            # The file wins, and the token bridges the time until it can be read (client-go, rest.Config).
            source = TokenFile(Pem(token_file), fallback=bearer(token, where=user.where) if token is not None else None)
            source.current()
            return source
        if token is not None:
            return StaticCredentials(bearer(token, where=user.where))
        username, password = user.text("username"), user.text("password")
        if username is not None:
            return StaticCredentials(basic(username, password or ""))
        section = values.get("exec")
        if section:
            if not isinstance(section, Mapping):
                msg = f"{user.where}: exec is no mapping"
                raise ConfigError(msg)
            plugin = ExecPlugin.from_kubeconfig(
                section, where=user.where, base=user.base, cluster=_cluster_info(cluster)
            )
            return ExecCredentials(plugin)
        return StaticCredentials()

    def _provider(self, context_name: str, user: Section) -> Callable[[], Awaitable[str]]:
        provider = user.values["auth-provider"]
        kind = provider.get("name") if isinstance(provider, Mapping) else None
        if kind not in {"oidc", "gcp"}:
            msg = (
                f"{user.where}: auth-provider {kind!r} is not known (only oidc and gcp are); use an exec plugin instead"
            )
            raise ConfigError(msg)
        make_loader = self._loader
        loader: Any = None

        async def ask() -> str:
            nonlocal loader
            client = await asyncio.to_thread(importlib.import_module, "kubernetes_asyncio.client")
            if loader is None and make_loader is not None:
                loader = make_loader(context_name)
            configuration = client.Configuration()
            await loader.load_and_set(configuration)
            return str(configuration.api_key.get("BearerToken", ""))

        return ask

    def _find(self, kind: str, name: str) -> Section | None:
        for entry in self._merged.get(kind) or ():
            values, path = _unwrapped(entry)
            if values.get("name") == name:
                inner = values.get(kind.removesuffix("s"))
                file = self._name if path is None else str(path)
                return Section(
                    inner if isinstance(inner, Mapping) else {},
                    None if path is None else path.absolute().parent,
                    f"{file}: {kind.removesuffix('s')} {name!r}",
                )
        return None


def tls(cluster: Section, user: Section) -> TLS:
    """How a cluster wants to be verified, and the user's certificate.

    Raises:
        ConfigError: a file is missing, or a certificate comes without its key.
    """
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if (certificate is None) != (key is None):
        msg = f"{user.where}: client-certificate and client-key go together, and one of them is missing"
        raise ConfigError(msg)
    return TLS(
        ca=cluster.pem("certificate-authority"),
        certificate=None if certificate is None or key is None else ClientCertificate(certificate, key),
        server_name=cluster.text("tls-server-name"),
        verify=not cluster.values.get("insecure-skip-tls-verify"),
    )


def impersonation(user: Section) -> dict[str, list[str]]:
    """The headers that ask the server to take us for somebody else (`as`, `as-groups`, `as-uid`, `as-user-extra`).

    Raises:
        ConfigError: groups or extras without a user, which the server refuses.
    """
    headers: dict[str, list[str]] = {}
    if (name := user.text("as")) is not None:
        headers["Impersonate-User"] = [name]
    if (uid := user.text("as-uid")) is not None:
        headers["Impersonate-Uid"] = [uid]
    if groups := user.values.get("as-groups"):
        headers["Impersonate-Group"] = [str(group) for group in groups]
    for key, values in (user.values.get("as-user-extra") or {}).items():
        headers[f"Impersonate-Extra-{key}"] = [str(value) for value in values]
    if headers and name is None:
        msg = f"{user.where}: as-uid, as-groups and as-user-extra need `as`, the user's name"
        raise ConfigError(msg)
    return headers


def _cluster_info(cluster: Section) -> dict[str, Any]:
    """What an exec plugin is told of the cluster (client.authentication.k8s.io/v1, Cluster)."""
    values = cluster.values
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
    info: dict[str, Any] = {name: values[name] for name in names if values.get(name)}
    if (authority := cluster.pem("certificate-authority")) is not None:
        info["certificate-authority-data"] = base64.b64encode(authority.read().encode()).decode()
    for extension in values.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


def _unwrapped(entry: Any) -> tuple[Mapping[str, Any], Path | None]:
    """An entry, and the file it is from: what the merger made wears a `ConfigNode`."""
    if isinstance(entry, Mapping):
        return entry, None
    return entry.value, Path(entry.path)


def _check(path: Path) -> None:
    yaml: Any = importlib.import_module("yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read kubeconfig {path}: {error.strerror or error}"
        raise ConfigError(msg) from error
    except UnicodeDecodeError:
        msg = f"kubeconfig {path} is not UTF-8 text"
        raise ConfigError(msg) from None
    except yaml.YAMLError as error:
        # Only the place: the problem's context would quote the file, tokens and all.
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        msg = f"kubeconfig {path} is not YAML{at}"
        raise ConfigError(msg) from None
    _check_content(content, f"kubeconfig {path}")


def _check_content(content: object, name: str) -> None:
    if not isinstance(content, Mapping):
        msg = f"{name} is no kubeconfig: expected a mapping with clusters, users and contexts"
        raise ConfigError(msg)
    for kind in ("clusters", "users", "contexts"):
        entries = content.get(kind)
        if entries is not None and not (
            isinstance(entries, list) and all(isinstance(e, Mapping) and "name" in e for e in entries)
        ):
            msg = f"{name} is no kubeconfig: {kind} is to be a list of entries with a name"
            raise ConfigError(msg)
