"""The addresses of a proxy: a Unix socket that only its owner can use, or a loopback port with a token."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from kinformer._hosts import LOOPBACK, is_loopback, name_in

__all__ = ["BACKLOG", "Address", "LoopbackAddress", "UnixAddress", "is_listened_on", "listen_address"]


BACKLOG: Final = 1024
"""Connections that may wait until they are accepted: all readers come at once when a proxy takes over."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket with the mode 0600.

    Attributes:
        path: the path of the socket.
        replaces: whether it takes the place of any socket. Set it only where a lock shows that no other process
            listens: children that a dead process has forked may keep its socket open.
    """

    path: Path
    replaces: bool = False

    def __str__(self) -> str:
        return f"unix:{self.path}"

    def open(self) -> socket.socket:
        """Listen. A socket that a dead process has left is replaced.

        The socket gets its name when it is ready: no client sees it with another mode, and none is refused between the
        old socket and the new one.

        Raises:
            OSError: another process listens there, or the path is no socket or cannot be made; names the path.
        """
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                msg = f"{self.path} exists and is no socket; name another path"
                raise FileExistsError(errno.EEXIST, msg)
            if not self.replaces and is_listened_on(self.path):
                msg = f"another process listens on {self.path}"
                raise OSError(errno.EADDRINUSE, msg)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Short: it must not be this name that makes the path too long.
        passing = self.path.with_name(f".{secrets.token_hex(6)}")
        try:
            before = os.umask(0o177)
            try:
                made.bind(str(passing))
            finally:
                os.umask(before)
            made.listen(BACKLOG)
            passing.replace(self.path)
        except OSError as error:
            made.close()
            with contextlib.suppress(OSError):
                passing.unlink(missing_ok=True)
            if error.errno is None:
                # Python finds it before the kernel does.
                msg = f"cannot listen on {self.path}: a path of a socket has some 90 bytes at most; name a shorter one"
                raise OSError(errno.ENAMETOOLONG, msg) from error
            msg = f"cannot listen on {self.path}: {error.strerror or error}"
            raise OSError(error.errno, msg) from error
        made.setblocking(False)
        return made

    def remove(self) -> None:
        """Remove the socket, unless another process listens on it meanwhile."""
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.lstat(self.path).st_mode) and not is_listened_on(self.path):
                self.path.unlink()


@dataclass(frozen=True, slots=True)
class LoopbackAddress:
    """A port of a loopback address; each request needs the token.

    kubectl and client-go send a token by TLS only. The certificate is a new one at each start.

    Attributes:
        host: the address; it must be one of loopback.
        port: the port; 0 for any free one.
        token: the bearer token. By default a new one of 256 random bits.
        tls: whether to speak TLS, which needs the extra "proxy"; else plain HTTP.

    Raises:
        ValueError: the address is not one of loopback.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    tls: bool = True

    def __post_init__(self) -> None:
        if not (is_loopback(self.host) or self.host in LOOPBACK):
            msg = f"a proxy listens on a loopback address or on a Unix socket only, not on {self.host!r}"
            raise ValueError(msg)
        if not self.token:
            raise ValueError("a proxy on loopback needs a token: every user of the machine can reach it")

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def open(self) -> socket.socket:
        """Listen.

        Raises:
            OSError: the port is in use or not allowed; names the address.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((self.host, self.port))
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            msg = f"cannot listen on {self}: {error.strerror or error}; port 0 takes any free one"
            raise OSError(error.errno, msg) from error
        made.setblocking(False)
        return made


Address: TypeAlias = UnixAddress | LoopbackAddress


def listen_address(text: str) -> Address:
    """Read an address: "unix:/run/app/kinformer.sock", "127.0.0.1:8443", "[::1]:0", or "http://127.0.0.1:8001".

    Raises:
        ValueError: it is none of these, or not a loopback address.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return UnixAddress(Path(text.removeprefix("unix:")).expanduser().absolute())
    place = text.removeprefix("http://").removeprefix("https://")
    _, colon, port = place.rpartition(":")
    name = name_in(place)
    if not colon or not name or not port.isdecimal() or int(port) > 65_535:
        msg = f"{text!r} is no address to listen on; expected unix:/run/app/kinformer.sock or 127.0.0.1:8443"
        raise ValueError(msg)
    return LoopbackAddress(name, int(port), tls=not text.startswith("http://"))


def is_listened_on(path: Path) -> bool:
    """Return whether a process listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        tried.settimeout(1.0)
        try:
            tried.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
