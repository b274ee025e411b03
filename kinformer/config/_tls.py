"""Trust: whom we believe to be the API server, and the certificate that says who we are."""

from __future__ import annotations

import logging
import ssl
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TLS", "ClientCertificate", "ContextCache", "Pem"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM text: in a file, which is read again when it changes, or given as it is."""

    path: Path | None = None
    text: str = field(default="", repr=False)

    def stamp(self) -> tuple[int, ...]:
        """What tells one state of the file from another; an atomic swap of a mounted secret changes the inode.

        Raises:
            OSError: the file cannot be looked at, perhaps because it is being replaced.
        """
        if self.path is None:
            return ()
        status = self.path.stat()
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def read(self) -> str:
        """The text.

        Raises:
            OSError: the file cannot be read.
        """
        return self.text if self.path is None else self.path.read_text(encoding="ascii", errors="replace")

    def __str__(self) -> str:
        return "the data given" if self.path is None else str(self.path)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate to authenticate with, and its private key."""

    certificate: Pem
    key: Pem


@dataclass(frozen=True, slots=True)
class TLS:
    """How the server is verified.

    Args:
        ca: the authorities to believe; `None` for those of the system.
        certificate: the client certificate, if any.
        server_name: the name to ask for (SNI) and to find in the server's certificate, where it differs from the URL's.
        verify: `False` believes anybody.
    """

    ca: Pem | None = None
    certificate: ClientCertificate | None = None
    server_name: str | None = None
    verify: bool = True

    def context(self, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Make a context of what the files say now.

        Args:
            certificate: takes the place of the one of the configuration (exec plugins hand out certificates).

        Raises:
            ConfigError: a file is missing or does not hold what it should; names it.
        """
        context = self._trusting()
        # Go's verifier, which every other client of the cluster uses, asks neither for the key identifiers that
        # Python >= 3.13 wants of a certificate nor for a root: each certificate in the CA bundle is an anchor.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate = certificate or self.certificate
        if certificate is not None:
            _load_certificate(context, certificate)
        return context

    def _trusting(self) -> ssl.SSLContext:
        if self.ca is None:
            return ssl.create_default_context()
        try:
            return ssl.create_default_context(cadata=self.ca.read())
        except (OSError, ValueError) as error:
            msg = f"the certificate authority ({self.ca}) cannot be used: {_reason(error)}; expected PEM certificates"
            raise ConfigError(msg) from error


class ContextCache:
    """The SSL context of the moment: made anew when one of its files changes.

    Connections made with an older context go on; new ones use the new. A change that cannot be used (a certificate
    whose key has not been written yet) leaves the old context in place and is looked at again the next time.
    """

    __slots__ = ("_context", "_made_of", "_refused", "_tls")

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._made_of: object = None
        self._refused: object = None

    def get(self, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """The context for a new connection.

        Raises:
            ConfigError: there is none yet, and the files cannot be used.
        """
        try:
            state = self._state(certificate)
        except OSError as error:
            if self._context is None:
                msg = f"cannot read {error.filename}: {_reason(error)}"
                raise ConfigError(msg) from error
            return self._context
        if self._context is not None and state in (self._made_of, self._refused):
            return self._context
        try:
            context = self._tls.context(certificate)
        except ConfigError as error:
            if self._context is None:
                raise
            log.warning("certificates changed but cannot be used, the previous ones stay in use: %s", error)
            self._refused = state
            return self._context
        self._context, self._made_of, self._refused = context, state, None
        return context

    def _state(self, certificate: ClientCertificate | None) -> object:
        ca = self._tls.ca
        pair = certificate or self._tls.certificate
        stamps = (ca and ca.stamp(), pair and (pair.certificate.stamp(), pair.key.stamp()))
        return (pair, stamps)


def _load_certificate(context: ssl.SSLContext, pair: ClientCertificate) -> None:
    try:
        if pair.certificate.path is not None and pair.key.path is not None:
            context.load_cert_chain(pair.certificate.path, pair.key.path, password=_no_password)
        else:
            # OpenSSL takes a chain only from a file. This one is readable by us alone, and gone in a moment.
            with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as both:
                both.write(pair.certificate.read().rstrip() + "\n" + pair.key.read().rstrip() + "\n")
                both.flush()
                context.load_cert_chain(both.name, password=_no_password)
    except (OSError, ValueError) as error:
        msg = (
            f"the client certificate ({pair.certificate}) and its key ({pair.key}) cannot be used: {_reason(error)}; "
            "expected a PEM certificate and the unencrypted key that belongs to it"
        )
        raise ConfigError(msg) from error


def _no_password() -> str:
    """Stands in the way of OpenSSL's habit of asking the terminal."""
    return ""


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
