"""Imports of aiohttp without the certificates of the system.

aiohttp makes two TLS contexts when it is imported, which takes as long as the start of Python (50 ms) and 2 MB. Nothing
here uses them: clients and webhooks make contexts from their configuration. Without authorities they are made at once,
and trust no server.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["no_default_authorities"]


@contextlib.contextmanager
def no_default_authorities() -> Iterator[None]:
    """Let OpenSSL find no authorities of the system inside of the context."""
    before = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(before, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
