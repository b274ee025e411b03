"""TLS of a proxy on loopback, with a certificate of its own, and the kubeconfig that leads to it."""

from __future__ import annotations

import base64
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kinformer._extras import from_extra
from kinformer._own_certificates import authority, issued

__all__ = ["kubeconfig", "own_tls"]

_VALID: Final = timedelta(days=365)
_NAME: Final = "kinformer proxy"


def own_tls(host: str) -> tuple[ssl.SSLContext, bytes]:
    """Return the TLS of a server on loopback, and the authority that its clients trust, in PEM.

    The keys are new at each call, and the key of the authority is kept nowhere.

    Args:
        host: the address that the server listens on.

    Raises:
        MissingDependencyError: cryptography is not installed.
    """
    with from_extra("proxy", "TLS of a proxy on loopback (http:// needs none)"):
        from cryptography.hazmat.primitives.serialization import Encoding
    now = datetime.now(UTC)
    signs, key = authority(_NAME, now, _VALID)
    names = list(dict.fromkeys([host, "127.0.0.1", "::1", "localhost"]))
    certificate, own = issued(_NAME, signs, key, names, now, _VALID)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL takes certificates from files only.
    with tempfile.TemporaryDirectory(prefix="kinformer-proxy-") as folder:
        path = Path(folder, "pair.pem")
        path.touch(mode=0o600)
        path.write_bytes(certificate + own)
        context.load_cert_chain(path)
    return context, signs.public_bytes(Encoding.PEM)


def kubeconfig(url: str, token: str, trusted: bytes) -> dict[str, Any]:
    """Return the kubeconfig of a proxy.

    Args:
        url: the URL of the proxy.
        token: the token that each request needs.
        trusted: the authority of its certificate, in PEM; b"" without TLS.
    """
    cluster: dict[str, Any] = {"server": url}
    if trusted:
        cluster["certificate-authority-data"] = base64.b64encode(trusted).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kinformer", "cluster": cluster}],
        "users": [{"name": "kinformer", "user": {"token": token}}],
        "contexts": [{"name": "kinformer", "context": {"cluster": "kinformer", "user": "kinformer"}}],
        "current-context": "kinformer",
    }
