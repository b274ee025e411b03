"""The URL and the headers of every request: one place for lists, watches and verbs. Pure.

aiohttp writes the request. The checks here are for values that aiohttp would write unchanged, or refuse with
an error that does not name their source.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import multidict
import yarl

from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.config import ClusterConfig, Identity

__all__ = ["RequestHeads"]

# RFC 9110, 5.6.2.
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# RFC 9110, 5.5: no control characters but the tab. Text beyond ASCII goes out as UTF-8, as from client-go.
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

# Each request decides these by itself: two values of one of them contradict each other.
_FRAMING: Final = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip

_ZONE: Final = re.compile(r"https?://\[([^]%]*)%[^]]+\]([^/]*)")
"""An address with a zone, in the URL of a server: the address, and the port with its colon."""

_PATH_SAFE: Final = "/:@!$&'()*+,;=~-._"

# Text that stands in a query as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.\-~]*")


class RequestHeads:
    """Makes the URL and the headers of each request to one API server.

    What the request needs (`Accept`, `Content-Type`, `Accept-Encoding`) replaces a configured header of that name, in
    any case, and so does the `Authorization` of the credentials. A configured `Host` or `User-Agent` replaces the
    default. A configured header of several values is sent as several headers, in their order.

    Args:
        config: the API server, and the headers sent with every request.
        user_agent: the `User-Agent`, unless the configuration has one.

    Raises:
        ConfigError: a configured header cannot be sent; names the header and the reason, never the value.
    """

    def __init__(self, config: ClusterConfig, *, user_agent: str) -> None:
        where = f"{config.source}: " if config.source else ""
        self._where = where
        try:
            # Punycode for the host, percent-encoding for the path.
            server = yarl.URL(config.server)
        except ValueError as error:
            msg = f"{where}{config.server!r} is no server: {error}"
            raise ConfigError(msg) from error
        self._scheme, self._authority = server.scheme, server.raw_authority
        self._prefix = server.raw_path.rstrip("/")
        self._default_encoding = "gzip" if config.compression else "identity"
        self.stream_encoding = self._default_encoding if config.compressed_streams else "identity"
        """The `Accept-Encoding` of a streaming list. A watch has always "identity"."""
        configured = multidict.CIMultiDict[str]()
        spellings: dict[str, str] = {}  # aiohttp keeps one of two names that differ in case only
        for name, values in config.headers.items():
            if not _TOKEN.fullmatch(name):
                msg = f"{where}{name[:60]!r} cannot be the name of a header: it has characters that no name may have"
                raise ConfigError(msg)
            if name.lower() in _FRAMING:
                msg = f"{where}the header {name} cannot be configured: each request decides it by itself"
                raise ConfigError(msg)
            for value in values:
                configured.add(spellings.setdefault(name.lower(), name), self._checked(name, value))
        if "User-Agent" not in configured:
            configured["User-Agent"] = self._checked("User-Agent", user_agent)
        if "Host" not in configured and (zone := _ZONE.match(config.server)):
            # RFC 6874, 4: the zone means something on this machine only, and is not sent. Go's net/http does the same.
            configured["Host"] = f"[{zone[1]}]{zone[2]}"
        self._configured = configured

    def url(self, path: str, params: Sequence[tuple[str, str]] = ()) -> yarl.URL:
        """Return the URL of a path, as `Resource.path` makes it, and a query."""
        # From its parts: a whole URL is taken apart again, and this is done for each request.
        return yarl.URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=self._prefix + quote(path, safe=_PATH_SAFE, errors="replace"),
            query_string=_query(params) if params else "",
            encoded=True,
        )

    def headers(self, own: Mapping[str, str], identity: Identity) -> multidict.CIMultiDict[str]:
        """Return the headers of one request, in the order in which they are sent.

        Args:
            own: the request's own headers.
            identity: the source of the `Authorization` header.

        Raises:
            ConfigError: the authorization cannot be sent; its value is not shown.
        """
        made = self._configured.copy()
        made["Accept-Encoding"] = self._default_encoding
        made.update(own)
        if identity.authorization:
            made["Authorization"] = self._checked("Authorization", identity.authorization)
        return made

    def _checked(self, name: str, value: str) -> str:
        if _UNSENDABLE.search(value):
            msg = f"{self._where}the header {name} has a line break or another control character in its value"
            raise ConfigError(msg)
        return value


def _query(params: Sequence[tuple[str, str]]) -> str:
    if _PLAIN.fullmatch("".join([name + value for name, value in params])) is not None:
        return "&".join([f"{name}={value}" for name, value in params])
    return urlencode(params, quote_via=quote, errors="replace")
