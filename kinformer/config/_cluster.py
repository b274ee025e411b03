"""`ClusterConfig`: the address of the API server, the trust in it, and the credentials."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

from kinformer.config import _kubeconfig
from kinformer.config._credentials import BorrowedKey, Credentials, StaticCredentials, TokenFile, bearer
from kinformer.config._environment import SERVICE_ACCOUNT, kubeconfig_paths, proxy_for, service_url
from kinformer.config._impersonation import impersonation_headers, without_impersonation
from kinformer.config._tls import TLS, ClientCertificate, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ClusterConfig"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """The address of the API server, the trust in it, and the credentials.

    Make one with `for_server`, `load` or `from_dict`. One configuration may serve any number of clients.

    Attributes:
        server: the server's URL, without a trailing slash; it may have a path, as behind Rancher.
        namespace: the namespace of the context or the pod; nothing uses it unless asked to.
        tls: how the server is verified, and the client certificate.
        proxy: the HTTP proxy to go through, or `None`.
        headers: sent with every request, each with one or more values: impersonation, for one.
        credentials: the source of each request's authorization.
        compression: whether long lists may come compressed.
        compressed_streams: whether streaming lists may, too, with the events that follow in the same stream. Kubernetes
            1.37 compresses them (WatchListCompression). Pods of 9 KB come as 0.7 to 2.6 KB, for 8 to 16 µs of CPU time
            each: it pays where the network is slower than some 3 Gbit/s. Off by default, because a gateway that
            compresses by itself may hold events back until its buffer is full. It needs `compression`.
        source: the place where all this was found, for messages.
        socket: the Unix socket of a proxy on this machine that leads to the server; see `for_socket`.
    """

    server: str
    namespace: str = "default"
    tls: TLS = field(default_factory=TLS)
    proxy: str | None = field(default=None, repr=False)
    headers: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    credentials: Credentials = field(default_factory=StaticCredentials, repr=False)
    compression: bool = True
    compressed_streams: bool = False
    source: str = ""
    socket: Path | None = None

    def __post_init__(self) -> None:
        where = f"{self.source}: " if self.source else ""
        object.__setattr__(self, "server", _checked_server(self.server, where))
        address, zone, _ = (urlsplit(self.server).hostname or "").partition("%")
        if zone and self.tls.server_name is None:
            # The zone names an interface of this machine, so no certificate has it.
            object.__setattr__(self, "tls", replace(self.tls, server_name=address))
        if self.proxy is not None:
            _check_proxy(self.proxy, where)

    @classmethod
    def for_server(
        cls,
        url: str,
        token: str | None = None,
        ca_file: str | Path | None = None,
        verify: bool = True,
        *,
        token_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        server_name: str | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        namespace: str = "default",
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """The server at a URL.

        Args:
            url: such as "https://10.0.0.1:6443" or "http://127.0.0.1:8001".
            token: a bearer token.
            ca_file: the PEM file of the trusted authorities; those of the system by default.
            verify: `False` disables certificate verification, so the connection is open to man-in-the-middle attacks.
            token_file: a file with a bearer token, read again when it changes; not together with `token`.
            cert_file: a client certificate (PEM), read again when it changes.
            key_file: its key; needed with `cert_file` unless that holds it too.
            server_name: the name for SNI and for the check of the server's certificate, where it is not the URL's.
            proxy: the URL of an HTTP proxy.
            trust_env: whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply when no proxy is given. They never apply to
                localhost. Nothing else of the environment is used, neither `.netrc` nor SSL_CERT_FILE.
            namespace: the namespace of this configuration.
            headers: sent with every request.

        Raises:
            ConfigError: the URL is no http or https URL, a file is missing, or two arguments contradict each other.
        """
        source = "ClusterConfig.for_server"
        if token is not None and token_file is not None:
            raise ConfigError(f"{source}: token and token_file contradict each other; give one")
        if key_file is not None and cert_file is None:
            raise ConfigError(f"{source}: key_file needs the cert_file it belongs to")
        if ca_file is not None and not verify:
            raise ConfigError(f"{source}: ca_file means nothing with verify=False; leave one of them out")
        certificate = None
        if cert_file is not None:
            certificate = ClientCertificate(
                Pem(_existing(cert_file, "cert_file")), Pem(_existing(key_file or cert_file, "key_file"))
            )
        credentials: Credentials = StaticCredentials()
        if token is not None:
            credentials = StaticCredentials(bearer(token, where=source))
        elif token_file is not None:
            reader = TokenFile(Pem(Path(token_file)))
            reader.current()
            credentials = reader
        return cls(
            server=url,
            namespace=namespace,
            tls=TLS(
                ca=None if ca_file is None else Pem(_existing(ca_file, "ca_file")),
                certificate=certificate,
                server_name=server_name,
                verify=verify,
            ),
            proxy=proxy or (proxy_for(url) if trust_env else None),
            headers={name: [value] for name, value in (headers or {}).items()},
            credentials=credentials,
            source=source,
        )

    @classmethod
    def for_socket(cls, path: str | Path, *, token: str | None = None, namespace: str = "default") -> Self:
        """The server behind a proxy that listens on a Unix socket: `kinformer proxy pods --listen unix:PATH`.

        Args:
            path: the socket. It need not exist yet: until then, each request fails with `ConnectError`.
            token: a bearer token, for a proxy that passes on the identity of its callers.
            namespace: the namespace of this configuration.
        """
        source = "ClusterConfig.for_socket"
        return cls(
            server="http://localhost",
            namespace=namespace,
            credentials=StaticCredentials() if token is None else StaticCredentials(bearer(token, where=source)),
            compression=False,
            source=source,
            socket=Path(path).expanduser(),
        )

    def as_user(
        self,
        user: str,
        *,
        groups: Sequence[str] = (),
        uid: str = "",
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """Return this configuration with another user to act as; see `Client.as_user`.

        Raises:
            ValueError: there is no user, or groups are one text.
        """
        if not user:
            raise ValueError("as_user needs the name of a user, such as 'jane' or 'system:serviceaccount:shop:web'")
        if isinstance(groups, str):
            msg = f"groups={groups!r} is one text; give a list, as in groups=[{groups!r}]"
            raise ValueError(msg)  # noqa: TRY004 - a text is a sequence of texts, too
        headers = without_impersonation(self.headers) | impersonation_headers(user, groups=groups, uid=uid, extra=extra)
        return replace(self, headers=headers)

    @classmethod
    async def load(cls, kubeconfig: str | Path | None = None, context: str | None = None) -> Self:
        """Find the configuration: inside a pod its service account, else KUBECONFIG, else `~/.kube/config`.

        Args:
            kubeconfig: the file to read; it may name several, separated as in PATH.
            context: the context to use instead of the current one. With a kubeconfig or a context, the service account
                is not considered.

        The environment is read now, not at import. Several files are merged as kubectl does: the first file to name an
        entry wins, and files that do not exist are skipped as long as one does. Values are checked for their type, as
        kubectl does: `insecure-skip-tls-verify: "false"` is an error. Exec plugins run when the first request needs
        them. The legacy auth provider `oidc` works until its id-token expires; others do not, so use an exec plugin.

        Raises:
            ConfigError: nothing was found (lists the places), or the configuration cannot be used (names the file,
                the entry and the reason; lists the contexts when there is no such one). No value is shown.
        """
        if kubeconfig is not None:
            return await cls._from_files(_split(kubeconfig), context, named="kubeconfig")
        if context is None and service_url() is not None and (SERVICE_ACCOUNT / "token").is_file():
            return cls._in_cluster()
        if paths := kubeconfig_paths():
            return await cls._from_files(paths, context, named="KUBECONFIG")
        default = _default_kubeconfig()
        if not default.exists():
            service = "no service account is mounted" if service_url() else "KUBERNETES_SERVICE_HOST is not set"
            raise ConfigError(
                f"found no cluster: {service} (so this is no pod), KUBECONFIG is not set, and there is no {default}; "
                "set KUBECONFIG, or use ClusterConfig.for_server(url)"
            )
        return await cls._from_files([default], context, named="default")

    @classmethod
    def from_dict(cls, kubeconfig: Mapping[str, Any], context: str | None = None) -> Self:
        """Take the content of a kubeconfig; its relative paths start from the working directory.

        Raises:
            ConfigError: as for `load`.
        """
        return cls._from_kubeconfig(_kubeconfig.Kubeconfig.of(kubeconfig), context)

    @classmethod
    def from_text(
        cls, kubeconfig: bytes | str, context: str | None = None, *, source: str, trusted: bool = False
    ) -> Self:
        """Take the text of a kubeconfig, as it stands in a Secret.

        Args:
            kubeconfig: the text, YAML or JSON.
            context: the context; by default the current one, or the only one.
            source: the place where the text is from, for errors.
            trusted: whether it may name exec plugins and files, which are run and read on this machine. By default that
                is refused: an author of the text could run any program here, or have the token of this program's own
                service account sent to a server.

        Raises:
            ConfigError: as for `load`; or the text names a program or a file.
        """
        text = kubeconfig.encode() if isinstance(kubeconfig, str) else kubeconfig
        config = _kubeconfig.Kubeconfig.of_text(text, name=source)
        return cls._from_kubeconfig(config, context or config.default_context(), trusted=trusted)

    @classmethod
    def from_file(cls, path: str | Path, context: str | None = None) -> Self:
        """Take one kubeconfig file; its relative paths start from its directory. This blocks for some milliseconds.

        Args:
            path: the file.
            context: the context; by default the current one, or the only one.

        Raises:
            ConfigError: as for `load`.
        """
        config = _kubeconfig.Kubeconfig.read([Path(path).expanduser()])
        return cls._from_kubeconfig(config, context or config.default_context())

    @staticmethod
    def kubeconfig_paths(kubeconfig: str | Path | None = None) -> list[Path]:
        """Return the kubeconfig files that `load` and `load_contexts` read, whether or not they exist.

        Args:
            kubeconfig: as for `load`; by default KUBECONFIG, else `~/.kube/config`.
        """
        if kubeconfig is not None:
            return _split(kubeconfig)
        return [*kubeconfig_paths()] or [_default_kubeconfig()]

    @classmethod
    async def load_contexts(cls, kubeconfig: str | Path | None = None) -> dict[str, Self | ConfigError]:
        """Return the configuration of each context of a kubeconfig, or the reason why it cannot be used.

        Args:
            kubeconfig: as for `load`; by default KUBECONFIG, else `~/.kube/config`.

        Raises:
            ConfigError: there is no kubeconfig, or it cannot be read.
        """
        paths = cls.kubeconfig_paths(kubeconfig)
        there = [path for path in paths if path.exists()]
        if not there:
            raise ConfigError(f"there is no kubeconfig: {', '.join(map(str, paths))}")

        def read() -> dict[str, Self | ConfigError]:
            config = _kubeconfig.Kubeconfig.read(there)
            found: dict[str, Self | ConfigError] = {}
            for name in config.contexts():
                try:
                    found[name] = cls._from_kubeconfig(config, name)
                except ConfigError as error:
                    found[name] = error
            return found

        return await asyncio.to_thread(read)

    @classmethod
    def from_api_client(cls, api: Any) -> Self:
        """Take the configuration of a kubernetes_asyncio `ApiClient`.

        Its address, trust, proxy and default headers are copied. Its API key is read for each request by way of its
        refresh hook, as the ApiClient itself does.

        Raises:
            ConfigError: this is no ApiClient, or its configuration cannot be used.
        """
        configuration: Any = getattr(api, "configuration", None)
        if not hasattr(configuration, "auth_settings"):
            msg = f"expected a kubernetes_asyncio ApiClient, not {type(api).__name__}"
            raise ConfigError(msg)
        host = str(configuration.host)
        cert = configuration.cert_file
        headers = {k: [str(v)] for k, v in api.default_headers.items() if k.lower() != "user-agent"}
        if api.cookie:
            headers["Cookie"] = [str(api.cookie)]
        return cls(
            server=host,
            tls=TLS(
                ca=Pem(Path(configuration.ssl_ca_cert)) if configuration.ssl_ca_cert else None,
                certificate=ClientCertificate(Pem(Path(cert)), Pem(Path(configuration.key_file or cert)))
                if cert
                else None,
                server_name=configuration.tls_server_name or None,
                verify=bool(configuration.verify_ssl),
            ),
            # An ApiClient's session trusts the environment.
            proxy=configuration.proxy or proxy_for(host),
            headers=headers,
            credentials=BorrowedKey(configuration),
            source="kubernetes_asyncio ApiClient",
        )

    @classmethod
    def _in_cluster(cls) -> Self:
        """Do as client-go's rest.InClusterConfig."""
        server, authority = service_url(), SERVICE_ACCOUNT / "ca.crt"
        assert server is not None
        credentials = TokenFile(Pem(SERVICE_ACCOUNT / "token"))
        credentials.current()
        try:
            namespace = (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
        except OSError:
            namespace = ""
        return cls(
            server=server,
            namespace=namespace or "default",
            tls=TLS(ca=Pem(_existing(authority, "the service account's certificate authority"))),
            proxy=proxy_for(server),
            credentials=credentials,
            source="in-cluster service account",
        )

    @classmethod
    async def _from_files(cls, paths: list[Path], context: str | None, *, named: str) -> Self:
        there = [path for path in paths if path.exists()]
        if not there:
            what = "names no file that exists" if len(paths) > 1 else "names a file that does not exist"
            raise ConfigError(f"{named} {what}: {', '.join(map(str, paths))}")
        return cls._from_kubeconfig(await asyncio.to_thread(_kubeconfig.Kubeconfig.read, there), context)

    @classmethod
    def _from_kubeconfig(
        cls, config: _kubeconfig.Kubeconfig, context_name: str | None, *, trusted: bool = True
    ) -> Self:
        context = config.context(context_name)
        cluster, user = config.cluster(context), config.user(context)
        if not trusted:
            _kubeconfig.refuse_local_references(cluster, user)
        server, trusted = _kubeconfig.server_url(cluster)
        credentials = config.credentials(user, cluster)
        return cls(
            server=server,
            namespace=context.values.namespace or "default",
            tls=_kubeconfig.tls(cluster, user),
            proxy=cluster.values.proxy_url or proxy_for(server),
            headers=_kubeconfig.impersonation(user),
            credentials=credentials if trusted else _withheld(credentials, cluster.where),
            compression=not cluster.values.disable_compression,
            source=context.where,
        )


def _withheld(credentials: Credentials, where: str) -> Credentials:
    """Return no credentials, with a warning where there were some."""
    nothing = StaticCredentials()
    if not isinstance(credentials, StaticCredentials) or credentials.current() != nothing.current():
        log.warning(
            "%s: its server has no scheme, so it is reached by http, and the user's credentials are not sent; "
            "begin the server with https://",
            where,
        )
    return nothing


def _split(kubeconfig: str | Path) -> list[Path]:
    if isinstance(kubeconfig, Path):
        return [kubeconfig.expanduser()]
    return [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part]


def _default_kubeconfig() -> Path:
    return Path("~/.kube/config").expanduser()


def _existing(path: str | Path, what: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        msg = f"{what} is {found}, and there is no such file"
        raise ConfigError(msg)
    return found


def _checked_server(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    has_spaces = any(character.isspace() for character in url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine or has_spaces:
        msg = f"{where}{without_secrets(url)!r} is no server: expected a URL such as 'https://10.0.0.1:6443'"
        raise ConfigError(msg)
    if parts.username is not None:
        msg = f"{where}the server's URL has a user name or password in it; give a token instead"
        raise ConfigError(msg)
    if parts.query or parts.fragment:
        msg = f"{where}the server's URL has a query or a fragment, which an API server's cannot have"
        raise ConfigError(msg)
    # RFC 6874 spells the zone of an address `[fe80::1%25eth0]`; the resolver takes `fe80::1%eth0`.
    netloc = re.sub(r"^\[([^]%]*)%25([^]]+)\]", r"[\1%\2]", parts.netloc)
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


def _check_proxy(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = urlsplit(""), False
    if parts.scheme not in {"http", "https"} or not usable:
        scheme = f" of scheme {parts.scheme!r}" if usable and "://" in url else ""
        msg = f"{where}a proxy{scheme} cannot be used; expected a URL such as 'http://proxy.example.com:3128'"
        raise ConfigError(msg)


def without_secrets(url: str) -> str:
    """Return a URL, which need not be a valid one, without user name, password, query and fragment."""
    return re.sub(r"^((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//|)[^/]*@", r"\1", re.split(r"[?#]", url.strip(), maxsplit=1)[0])
