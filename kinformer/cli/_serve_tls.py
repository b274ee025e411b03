"""Throwaway certificates of `kinformer serve-api --tls`: for the server, and for one administrator."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any, Final

import yaml

from kinformer.errors import MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer.testing import ApiServer

__all__ = ["ADMINISTRATOR", "ServerCertificates"]

ADMINISTRATOR: Final = "kubernetes-admin"
_ADMINS: Final = "system:masters"


class ServerCertificates:
    """A new authority, a certificate for the server, and one for the administrator; they live as long as the process.

    Args:
        host: the address of the server; the certificate is for it, and for localhost.

    Raises:
        MissingDependencyError: trustme is not installed.
    """

    def __init__(self, host: str) -> None:
        try:
            import trustme
        except ModuleNotFoundError as error:
            raise MissingDependencyError("--tls needs trustme: pip install 'kinformer[testing]'") from error
        authority = trustme.CA(organization_name="kinformer serve-api")
        names = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
        self._server = authority.issue_cert(*(name for name in names if name not in {"0.0.0.0", "::"}))  # noqa: S104
        # Java reads no certificate whose list of names is empty; the user is the common name, as on a cluster.
        self._client = authority.issue_cert("client.invalid", common_name=ADMINISTRATOR, organization_name=_ADMINS)
        self._authority = authority

    def options(self) -> dict[str, Any]:
        """Return the arguments of `ApiServer`: a client without the certificate is anonymous, and may do nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._authority.configure_trust(context)
        self._server.configure_cert(context)
        return {"ssl_context": context, "tokens": {}, "groups": {ADMINISTRATOR: [_ADMINS]}}

    def write_kubeconfig(self, server: ApiServer, path: Path) -> None:
        """Write a kubeconfig with the certificates to a file that only its owner may read."""
        config = server.kubeconfig()
        config["clusters"][0]["cluster"] = {
            "server": server.url,
            "certificate-authority-data": _base64(self._authority.cert_pem.bytes()),
        }
        config["users"][0]["user"] = {
            "client-certificate-data": _base64(b"".join(part.bytes() for part in self._client.cert_chain_pems)),
            "client-key-data": _base64(self._client.private_key_pem.bytes()),
        }
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
