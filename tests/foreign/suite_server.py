"""Serves an embedded cluster to a suite of tests, and runs it: `suite_server PYTHON FOLDER`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
import yaml
from aiohttp import web

from kinformer._local_runner import LocalRunner, local_server
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _encoded(*blobs: trustme.Blob) -> str:
    return base64.b64encode(b"".join(blob.bytes() for blob in blobs)).decode()


def _kubeconfig(url: str, authority: trustme.CA) -> dict[str, Any]:
    """A kubeconfig in the form that kind writes: with certificates in it."""
    certificate = authority.issue_cert("kubernetes-admin", common_name="kubernetes-admin")
    user = {
        "client-certificate-data": _encoded(*certificate.cert_chain_pems),
        "client-key-data": _encoded(certificate.private_key_pem),
    }
    name = "kind-pytest-kind"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [
            {"name": name, "cluster": {"server": url, "certificate-authority-data": _encoded(authority.cert_pem)}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


@contextlib.asynccontextmanager
async def _web_server() -> AsyncIterator[int]:
    """A server in place of those in pods; yields its port."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="hello", status=200 if request.path in {"/", "/foo.dat"} else 404)

    runner = LocalRunner(local_server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def main() -> int:
    """Run the tests; return the exit code of pytest."""
    python, tests = sys.argv[1:]
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ApiServer(
        ssl_context=context,
        rbac=True,
        tokens={},
        groups={"kubernetes-admin": ["system:masters"]},
        controllers="all",
        system_objects=True,
    )
    with tempfile.TemporaryDirectory() as home:
        async with server, _web_server() as port:
            # The suite has pods of nginx, which it asks for pages.
            server.pods.forward("*", 80, "127.0.0.1", port, namespace="*")
            config = Path(home) / "config"
            config.write_text(yaml.safe_dump(_kubeconfig(server.url, authority)))
            options = ("-q", "-p", "kind_cluster", "-p", "no:cacheprovider", "-W", "ignore", "-c", os.devnull)
            asked = ("--rootdir", tests, "-o", "asyncio_mode=auto", "-o", "timeout=60", *options, tests)
            process = await asyncio.create_subprocess_exec(
                *(python, "-m", "pytest", *asked),
                env=os.environ | {"KUBECONFIG": str(config), "HOME": home},
                cwd=tests,
            )
            return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
