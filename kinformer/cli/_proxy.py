"""`kinformer proxy`: resolve the resources, listen, and serve until the end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

import yaml

from kinformer.cli._connect import connected
from kinformer.cli._kubeconfig_file import check_may_be_written
from kinformer.cli._session import UsageProblem, write
from kinformer.proxy import CacheProxy, LoopbackAddress, listen_address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kinformer.cli._connect import ServerChoice
    from kinformer.proxy._forward import Others

__all__ = ["may_open", "serve"]

_FILES: Final = 65_536
"""Files that the command may open at most, so that each of 1,000 readers of many resources has its connection."""


async def serve(
    names: Sequence[str],
    *,
    listen: str,
    namespace: str,
    others: str,
    kubeconfig: Path | None,
    server: ServerChoice,
) -> int:
    """Print the address when the first lists are there, then serve until cancelled.

    Raises:
        UsageProblem: no resources, an address that cannot be used, or a loopback address without a kubeconfig.
        OSError: the address is in use, or the kubeconfig cannot be written.
    """
    try:
        address = listen_address(listen)
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    words = [word for name in names for word in name.split(",") if word]
    if not words:
        raise UsageProblem("name at least one resource, as in: kinformer proxy pods --listen unix:/run/app/k8s.sock")
    if isinstance(address, LoopbackAddress):
        if kubeconfig is None:
            msg = "on loopback each request needs a token; --write-kubeconfig FILE names the file to write it to"
            raise UsageProblem(msg)
        check_may_be_written(kubeconfig)
    elif kubeconfig is not None:
        msg = "--write-kubeconfig goes with --listen 127.0.0.1:PORT; a kubeconfig cannot name a Unix socket"
        raise UsageProblem(msg)
    may_open(_FILES)
    async with connected(server) as client:
        resources = list(dict.fromkeys([await client.resolve(word) for word in words]))
        try:
            proxy = CacheProxy(
                client, resources, listen=address, namespace=namespace or None, others=cast("Others", others)
            )
        except ValueError as error:
            raise UsageProblem(str(error)) from None
        async with proxy:
            if kubeconfig is not None:
                _write_kubeconfig(proxy, kubeconfig)
            write(f"proxy of {', '.join(resource.qualified for resource in resources)} at {proxy.address}\n")
            await proxy.synced()
            write("the caches are in sync\n")
            await asyncio.get_running_loop().create_future()
    return 0


def may_open(files: int) -> None:
    """Raise the number of files that this process may open, as far as the system allows; never lower it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _write_kubeconfig(proxy: CacheProxy, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(yaml.safe_dump(proxy.kubeconfig()), encoding="utf-8")
