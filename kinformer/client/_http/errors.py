"""Failures on the wire become kinformer's errors; no exception of aiohttp, ssl or a socket reaches a caller."""

from __future__ import annotations

import datetime as dt
import email.utils
import errno
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from kinformer._any_json import decode_any
from kinformer.client._http.content_coding import CodingError
from kinformer.client._http.response_parser import HttpFormatError
from kinformer.client._http.responses import BodyTooLargeError
from kinformer.errors import (
    MAX_RETRY_AFTER,
    ApiError,
    ConnectError,
    ProtocolError,
    StreamBrokenError,
    TLSError,
    TransportError,
    TransportTimeoutError,
    api_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NOT_JSON",
    "WIRE_ERRORS",
    "is_lost_connection",
    "redirected",
    "refusal",
    "retry_after",
    "too_large",
    "transport_error",
]

# The exceptions of msgspec for bytes that are not the expected JSON.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# The exceptions of aiohttp, ssl, sockets and the decoders. aiohttp's parser raises ValueError and OverflowError for
# input that it does not expect, such as a length of 5,000 digits.
WIRE_ERRORS = (
    aiohttp.ClientError,
    HttpProcessingError,
    HttpFormatError,
    CodingError,
    BodyTooLargeError,
    OSError,
    TimeoutError,
    EOFError,
    ValueError,
    OverflowError,
)


def transport_error(
    error: BaseException, *, server: str, doing: str, answered: bool, limit: str = ""
) -> TransportError:
    """Make the error for an exception of aiohttp, ssl or the socket layer.

    Args:
        error: the exception; to be chained as the cause.
        server: the server's address.
        doing: the request in words ("list pods in namespace web").
        answered: whether the head of a response had arrived; then a lost connection broke a stream.
        limit: the time limit that applied, for people ("30 seconds").
    """
    start = f"cannot {doing}: "
    if (tls := _tls_failure(error)) is not None:
        return TLSError(f"{start}no trust between us and {server}: {tls}")
    if isinstance(error, TimeoutError):
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TransportTimeoutError(f"{start}no connection to {server} in time: {_text_of(error)}")
        within = f" for {limit}" if limit else ""
        return TransportTimeoutError(f"{start}{server} sent nothing{within}")
    match error:
        case aiohttp.ClientHttpProxyError():
            return ConnectError(f"{start}the proxy on the way to {server} refused: {error.status} {error.message}")
        case aiohttp.ClientPayloadError() | EOFError():
            # aiohttp wraps "not completed" twice and in brackets; it says no more than the text below.
            why = "" if "not completed" in (text := _text_of(error)) else f": {text}"
            return StreamBrokenError(f"{start}the answer of {server} broke off in the middle{why}")
        case CodingError():
            return ProtocolError(f"{start}the answer of {server} cannot be read: {error}")
        case BodyTooLargeError():
            return too_large(error.args[0], doing)
        case aiohttp.ClientResponseError() | HttpProcessingError() | HttpFormatError():
            return ProtocolError(f"{start}{server} answers with something that is not HTTP: {_text_of(error)}")
        case aiohttp.ClientConnectorError():
            return ConnectError(f"{start}no connection to {server}: {_text_of(error.os_error)}")
        case aiohttp.ClientConnectionError() | OSError():
            if answered:
                return StreamBrokenError(f"{start}the connection to {server} was lost: {_text_of(error)}")
            return ConnectError(f"{start}the connection to {server} was lost before it answered: {_text_of(error)}")
        case _:
            return ProtocolError(f"{start}{server} could not be spoken to: {_text_of(error)}")


def refusal(status: int, body: bytes, headers: Mapping[str, str], *, doing: str) -> ApiError:
    """Make the error for a response that is no success.

    Args:
        status: the HTTP status.
        body: a Status object, or any text.
        headers: its headers.
        doing: the request in words.
    """
    document: dict[str, Any] | None = None
    try:
        decoded = decode_any(body)
    except NOT_JSON:
        decoded = None
    if is_status(decoded):
        document = decoded
    text = "" if document else body[:1000].decode(errors="replace")
    if not document and not text.strip():
        text = _phrase(status)
    return api_error(status, document, text=text, retry_after=retry_after(headers), doing=doing)


def is_status(document: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a document is a Status of a failure: some gateways send one without its kind."""
    if not isinstance(document, dict):
        return False
    return document.get("kind") == "Status" or ("kind" not in document and document.get("status") == "Failure")


def too_large(limit: int, doing: str) -> ProtocolError:
    """Make the error for a response of which too many bytes would have to be in memory at once."""
    return ProtocolError(
        f"cannot {doing}: the answer has more than {limit:,} bytes that have to be in memory at once; "
        "ask for it in pages, or allow more with Client(max_answer_bytes=...)"
    )


def redirected(status: int, headers: Mapping[str, str], *, server: str, doing: str) -> ProtocolError:
    """Make the error for a response that redirects, or switches to another protocol (101)."""
    if status < 300:
        return ProtocolError(
            f"cannot {doing}: {server} switches to another protocol ({status}); is this an API server?"
        )
    # The error shows only the host of the target: the query of a login page may have secrets in it.
    try:
        target = urlsplit(headers.get("Location", "")).hostname or "another path"
    except ValueError:
        target = "an address that is none"
    return ProtocolError(
        f"cannot {doing}: {server} redirects ({status}) to {target}; "
        "an API server never does, so this may be the address of a login page or a proxy"
    )


def is_lost_connection(error: BaseException) -> bool:
    """Return whether a connection broke before a response came (client-go: IsConnectionReset, IsProbableEOF)."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError):
        return False
    if isinstance(cause, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError):
        return True
    return isinstance(cause, OSError) and cause.errno in {errno.ECONNRESET, errno.EPIPE}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3); at most a minute."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdecimal() and value.isascii():
        return min(float(value[:20]), MAX_RETRY_AFTER)
    when = _date(value)
    if when is None:
        return None
    now = _date(headers.get("Date", "")) or dt.datetime.now(dt.UTC)  # the date in a header is by the server's clock
    return min(max(0.0, (when - now).total_seconds()), MAX_RETRY_AFTER)


def _date(value: str) -> dt.datetime | None:
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _tls_failure(error: BaseException | None) -> str | None:
    """Return the reason for which TLS failed, `None` if it did not; aiohttp wraps the error in more than one way."""
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return "the certificate has another fingerprint"
    seen = 0
    while error is not None and seen < 5:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return _text_of(error.certificate_error)
        if isinstance(error, ssl.SSLCertVerificationError):
            why = getattr(error, "verify_message", "")
            return f"certificate verify failed: {why}" if why else _text_of(error)
        if isinstance(error, ssl.SSLError | ssl.CertificateError):
            return _text_of(error)
        if isinstance(error, aiohttp.ClientSSLError):
            return _text_of(error.os_error)
        if isinstance(error, OSError) and "SSL" in str(error.strerror or ""):
            return str(error.strerror)
        error = error.__cause__ or error.__context__
        seen += 1
    return None


def _text_of(error: BaseException) -> str:
    """Return the text of an error on one line, without the bytes of the response that aiohttp's parser adds."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "Server disconnected"
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        text = str(error.message).partition("\n")[0].rstrip(": ")
    else:
        text = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(str(text).split())[:200] or type(error).__name__
