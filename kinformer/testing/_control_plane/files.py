"""The programs etcd and kube-apiserver on this machine, and their files: certificates, keys, tokens."""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import trustme

__all__ = ["ADMIN", "Binaries", "BinariesNotFoundError", "Credentials", "cache_folder"]

ADMIN: Final = "kubernetes-admin"
"""The user that may do everything; there always is one."""

_ADMINS: Final = "system:masters"
"""The group that RBAC lets do everything (kubernetes.io, "Using RBAC", default roles)."""

_KUBEBUILDER: Final = Path("/usr/local/kubebuilder/bin")
_DEFAULT_RELEASE: Final = "1.36"
_VARIABLES: Final = {"etcd": "TEST_ASSET_ETCD", "kube-apiserver": "TEST_ASSET_KUBE_APISERVER"}


class BinariesNotFoundError(RuntimeError):
    """No etcd, or no kube-apiserver, was found on this machine."""


class Binaries(NamedTuple):
    """The two programs of a control plane."""

    etcd: Path
    kube_apiserver: Path

    @classmethod
    def find(cls, version: str = "") -> Binaries:
        """Find the programs where controller-runtime's envtest does, then in the cache of kinformer.

        Each by itself: the file that TEST_ASSET_ETCD or TEST_ASSET_KUBE_APISERVER names; in the folder
        KUBEBUILDER_ASSETS; in /usr/local/kubebuilder/bin; in `cache_folder()`, in the newest version of Kubernetes 1.36
        (the release of `ApiServer`), or else in the newest version. The environment is read at each call.

        Args:
            version: a release, as "1.37", or a version, as "v1.37.2". Then only `cache_folder()` is searched, in the
                newest version that fits: only there the name of the folder says the version.

        Raises:
            BinariesNotFoundError: one is nowhere, or is not where a variable says it is; names the places that were
                looked at and what to do.
        """
        if version:
            return cls(_of_version("etcd", version), _of_version("kube-apiserver", version))
        return cls(_find("etcd"), _find("kube-apiserver"))


def cache_folder() -> Path:
    """The folder of what `make apiserver-assets` builds, one per version: under XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kinformer" / "apiserver"


def _find(name: str) -> Path:
    variable = _VARIABLES[name]
    if named := os.environ.get(variable):
        return _executable(Path(named), variable)
    if folder := os.environ.get("KUBEBUILDER_ASSETS"):
        return _executable(Path(folder) / name, "KUBEBUILDER_ASSETS")
    built = _built(name)
    default = [path for path in built if _fits(path, _DEFAULT_RELEASE)]
    for path in (_KUBEBUILDER / name, *default, *built):
        if _is_executable(path):
            return path
    msg = (
        f"found no {name}: neither {variable} nor KUBEBUILDER_ASSETS is set, and there is none in {_KUBEBUILDER} or "
        f"{cache_folder()}/v*/. Either `setup-envtest use` fetches it (sigs.k8s.io/controller-runtime; then set "
        "KUBEBUILDER_ASSETS to the path it prints), or, in a checkout of kinformer, `make apiserver-assets` builds it"
    )
    raise BinariesNotFoundError(msg)


def _of_version(name: str, version: str) -> Path:
    built = _built(name)
    for path in built:
        if _fits(path, version) and _is_executable(path):
            return path
    there = ", ".join(path.parent.name for path in built) or "nothing"
    release = ".".join(str(number) for number in _numbers(version)[:2])
    msg = (
        f"found no {name} of Kubernetes {version}: {cache_folder()} has {there}. In a checkout of kinformer, "
        f"`make apiserver-assets K8S={release}` builds it"
    )
    raise BinariesNotFoundError(msg)


def _built(name: str) -> list[Path]:
    """Return the builds of a program in the cache, newest first."""
    return sorted(cache_folder().glob(f"v*/{name}"), key=lambda path: _numbers(path.parent.name), reverse=True)


def _fits(path: Path, version: str) -> bool:
    """Report whether a build is of a version, or of a release."""
    wanted = _numbers(version)
    return bool(wanted) and _numbers(path.parent.name)[: len(wanted)] == wanted


def _executable(path: Path, variable: str) -> Path:
    if not _is_executable(path):
        msg = f"{variable} says that {path.name} is {path}, and there is no program of that name; correct or unset it"
        raise BinariesNotFoundError(msg)
    return path


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


class Credentials:
    """Throwaway certificates, keys and tokens in a folder, for the servers and their clients.

    Args:
        folder: the folder to write to; other users must not be able to read it.
        users: groups by user name; each user gets a bearer token.

    Raises:
        RuntimeError: trustme is not installed.
    """

    def __init__(self, folder: Path, users: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._authority: trustme.CA = _authority()
        self._certificates = 0
        self.ca_file = folder / "ca.pem"
        self.server_certificate = folder / "server.pem"
        self.server_key = folder / "server-key.pem"
        self.service_account_key = folder / "service-account-key.pem"
        self.token_file = folder / "tokens.csv"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        # The names a pod would use as well: a client may ask for one of them.
        server = self._authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        server.private_key_pem.write_to_path(str(self.server_key))
        self.server_certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        signer = self._authority.issue_cert("service-accounts.invalid")
        signer.private_key_pem.write_to_path(str(self.service_account_key))
        self.tokens = {user: secrets.token_urlsafe(32) for user in {ADMIN: (), **users}}
        rows = [_row(token, user, users.get(user, ())) for user, token in self.tokens.items()]
        self.token_file.touch(mode=0o600)
        self.token_file.write_text("".join(rows))

    def client_certificate(self, user: str, group: str) -> tuple[Path, Path]:
        """Issue one; returns its file and that of its key."""
        self._certificates += 1
        # Go refuses a certificate without any name to connect to; a group is needed, and every user is in this one.
        issued = self._authority.issue_cert(
            "client.invalid", common_name=user, organization_name=group or "system:authenticated"
        )
        certificate = self._folder / f"client-{self._certificates}.pem"
        key = self._folder / f"client-{self._certificates}-key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def kubeconfig(self, url: str, user: str) -> dict[str, Any]:
        """A kubeconfig for a user with a token."""
        cluster = {"server": url, "certificate-authority": str(self.ca_file)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kinformer", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "kinformer", "context": {"cluster": "kinformer", "user": user}}],
            "current-context": "kinformer",
        }


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, which is YAML, to a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(dict(content), indent=2) + "\n")


def _row(token: str, user: str, groups: Sequence[str]) -> str:
    """Return a line of kube-apiserver's --token-auth-file: token, user, uid, groups."""
    if user == ADMIN:
        groups = (_ADMINS, *groups)
    for name in (user, *groups):
        if not name or any(letter in name for letter in '",\n'):
            msg = f"{name!r} cannot be the name of a user or a group: it is empty, or has a comma, quote or line end"
            raise ValueError(msg)
    return f'{token},{user},{user},"{",".join(groups)}"\n'


def _authority() -> trustme.CA:
    try:
        import trustme as library
    except ImportError as error:
        msg = "a control plane needs throwaway certificates, and so trustme: pip install 'kinformer[testing]'"
        raise RuntimeError(msg) from error
    return library.CA()
