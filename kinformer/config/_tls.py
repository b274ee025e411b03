"""Trust in the API server, and the client certificate."""

from __future__ import annotations

import base64
import binascii
import errno
import logging
import os
import re
import ssl
import stat
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TLS", "ClientCertificate", "ContextCache", "Pem"]

log = logging.getLogger(__name__)

FILE_LIMIT: Final = 1 << 24
"""Bytes that a file of certificates, a key or a token may have; the authorities of a Linux distribution have 220 KB."""


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM data: in a file, which is read again when it changes, or given inline.

    These are bytes, for the text around the PEM blocks may have any encoding: bundles of Linux distributions name
    their authorities in comments.
    """

    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    def stamp(self) -> tuple[int, ...]:
        """Return the file's identity and state; an atomic swap of a mounted Secret changes the inode.

        Raises:
            OSError: the file cannot be read, perhaps because it is being replaced.
        """
        if self.path is None:
            return ()
        status = self.path.stat()
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def read(self) -> bytes:
        """Return the content.

        Raises:
            OSError: the file cannot be read, is no regular file, or has more than 16 MiB. A pipe or a device could hold
                the loop, or be without end.
        """
        if self.path is None:
            return self.data
        with os.fdopen(os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file", str(self.path))
            content = file.read(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise OSError(errno.EFBIG, "it has more than 16 MiB", str(self.path))
        return content

    def __str__(self) -> str:
        return "the data given" if self.path is None else str(self.path)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate to authenticate with, and its private key."""

    certificate: Pem
    key: Pem


@dataclass(frozen=True, slots=True)
class TLS:
    """The rules by which the server is verified.

    Args:
        ca: the trusted authorities; `None` for those of the system.
        certificate: the client certificate, if any.
        server_name: the name for SNI and for the check of the server's certificate, where it differs from the URL's.
        verify: `False` disables certificate verification, so the connection is open to man-in-the-middle attacks.
    """

    ca: Pem | None = None
    certificate: ClientCertificate | None = None
    server_name: str | None = None
    verify: bool = True

    def context(self, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Make a context from the present content of the files.

        Args:
            certificate: replaces the certificate of the configuration (exec plugins return certificates).

        Raises:
            ConfigError: a file is missing or has the wrong content; names it.
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
            return _trusting_only(self.ca.read())
        except (OSError, ValueError) as error:
            msg = f"the certificate authority ({self.ca}) cannot be used: {_reason(error)}; expected PEM certificates"
            raise ConfigError(msg) from error


class ContextCache:
    """The current SSL context, made again when one of its files changes.

    Open connections keep the context they began with; new connections use the new one. A change that cannot be used (a
    certificate whose key is not written yet) leaves the old context in place, and the next call tries again.
    """

    __slots__ = ("_context", "_made_of", "_refused", "_tls")

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._made_of: object = None
        self._refused: object = None

    def get(self, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return the context for a new connection.

        Raises:
            ConfigError: there is no context yet, and the files cannot be used.
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


# As Go's encoding/pem finds them: a block begins at the start of a line, and everything around it is comment.
_CERTIFICATE: Final = re.compile(
    rb"^-----BEGIN CERTIFICATE-----[ \t]*\r?\n(.*?)-----END CERTIFICATE-----", re.MULTILINE | re.DOTALL
)


def _trusting_only(bundle: bytes) -> ssl.SSLContext:
    """Make a context that trusts the certificates of a bundle.

    A certificate that OpenSSL cannot read is left out with a warning, as Go does: others may do.

    Raises:
        ValueError: the bundle has no certificate that can be read.
    """
    context: ssl.SSLContext | None = None
    for block in _CERTIFICATE.findall(bundle.removeprefix(b"\xef\xbb\xbf")):
        try:
            certificate = base64.b64decode(b"".join(block.split()), validate=True)
            if context is None:
                context = ssl.create_default_context(cadata=certificate)
            else:
                context.load_verify_locations(cadata=certificate)
        except (binascii.Error, ssl.SSLError, ValueError) as error:
            log.warning("a certificate of a CA bundle cannot be read and is left out: %s", _reason(error))
    if context is None:
        msg = "it holds no certificate that can be read"
        raise ValueError(msg)
    return context


def _load_certificate(context: ssl.SSLContext, pair: ClientCertificate) -> None:
    try:
        if pair.certificate.path is not None and pair.key.path is not None:
            context.load_cert_chain(pair.certificate.path, pair.key.path, password=_no_password)
        else:
            # OpenSSL takes a chain only from a file. This file is readable by this user only, and is removed at once.
            with tempfile.NamedTemporaryFile("wb", suffix=".pem") as both:
                both.write(pair.certificate.read().rstrip() + b"\n" + pair.key.read().rstrip() + b"\n")
                both.flush()
                context.load_cert_chain(both.name, password=_no_password)
    except (OSError, ValueError) as error:
        msg = (
            f"the client certificate ({pair.certificate}) and its key ({pair.key}) cannot be used: {_reason(error)}; "
            "expected a PEM certificate and the unencrypted key that belongs to it"
        )
        raise ConfigError(msg) from error


def _no_password() -> str:
    """Keep OpenSSL from asking for a password at the terminal."""
    return ""


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
