"""WebhookServer: serves webhooks over HTTPS, for the Manager or by itself."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from kinformer._local_runner import LocalRunner, local_server
from kinformer._own_loop import OwnLoop
from kinformer._survivable import is_survivable
from kinformer._tasks import BackgroundTask
from kinformer.errors import AlreadyStartedError
from kinformer.webhooks._webhooks import MOST_BYTES, media_type_of, timeout_of

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import web

    from kinformer.webhooks._certificates import CertificateFiles, CertificateSecret, KeyPair
    from kinformer.webhooks._webhooks import Webhooks

__all__ = ["WebhookServer"]

_log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 9443
"""controller-runtime: pkg/webhook/server.go (DefaultPort)."""

_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 60.0


class WebhookServer:
    """Serves `Webhooks` over HTTPS, with a certificate that is replaced while it runs.

        secret = CertificateSecret(client, "shop", "webhook-tls", service=ServiceAddress("shop", "webhooks"))
        manager.add(WebhookServer(webhooks, secret, host="0.0.0.0"))

    A new certificate holds for new connections; open ones go on, so that no request is lost.

    A manager starts it before the caches, as reading objects may need the conversion.

    Args:
        webhooks: the functions.
        certificate: `CertificateFiles`, such as of a mounted Secret that cert-manager fills; or a `CertificateSecret`.
        host: the address to listen on; "0.0.0.0" in a pod.
        port: 0 for any free one, which `port` then has.

    Attributes:
        port: as given; while it listens, the port that it listens on.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        certificate: CertificateFiles | CertificateSecret,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
    ) -> None:
        self._webhooks = webhooks
        self._certificate = certificate
        self._host = host
        self._runner: LocalRunner | None = None
        self._context: ssl.SSLContext | None = None
        self._current: KeyPair | None = None
        self._background = BackgroundTask("webhook certificates")
        self._told = False  # `certificate_ended` has returned the defect
        self._own_loop = OwnLoop("this webhook server was started")
        self.port = port

    def __repr__(self) -> str:
        return f"<WebhookServer {self._webhooks!r} at {self.url}>"

    @property
    def webhooks(self) -> Webhooks:
        """The functions that are served."""
        return self._webhooks

    @property
    def certificate(self) -> CertificateFiles | CertificateSecret:
        """The source of the certificate."""
        return self._certificate

    @property
    def host(self) -> str:
        """The address to listen on, as given."""
        return self._host

    @property
    def name(self) -> str:
        """The name, for logs and errors."""
        return f"webhooks {self._webhooks.name}"

    @property
    def url(self) -> str:
        """The address, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Get the certificate, and listen.

        Raises:
            AlreadyStartedError: it listens already.
            OSError: the port cannot be bound, or a file cannot be read.
            ValueError: the certificate and its key do not fit each other.
            ApiError, TransportError: the Secret cannot be read or written.
        """
        from aiohttp import web

        if self._runner is not None:
            msg = f"the webhooks are being served already, at {self.url}"
            raise AlreadyStartedError(msg)
        self._own_loop.take()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context = context
        self._use(await self._certificate.load(self._webhooks))
        runner = LocalRunner(local_server(self._answer), handle_signals=False, shutdown_timeout=5)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self.port, ssl_context=context).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner
        self._background.start(self._keep_fresh())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Answer the requests that have come, and listen no longer.

        Raises:
            BaseException: the defect that has ended the renewal of the certificate, if there is one that
                `certificate_ended` has not returned.
        """
        if self._runner is not None:
            self._own_loop.check()
        try:
            await self._background.stop()
        except BaseException as failure:
            if not self._told or failure is not self._background.failure:
                raise
        finally:
            runner, self._runner = self._runner, None
            if runner is not None:
                await runner.cleanup()

    async def certificate_ended(self) -> BaseException | None:
        """Wait until the certificate is renewed no more; return the defect, or `None` if the server was stopped.

        Raises:
            WrongLoopError: the server was started in another event loop.
        """
        if self._runner is not None:
            self._own_loop.check()
        await self._background.join()
        self._told = self._background.failure is not None
        return self._background.failure

    async def _keep_fresh(self) -> None:
        retry = _FIRST_RETRY
        while True:
            await asyncio.sleep(self._certificate.look_every if retry == _FIRST_RETRY else retry)
            try:
                self._use(await self._certificate.load(self._webhooks))
                retry = _FIRST_RETRY
            except BaseException as error:
                if not is_survivable(error):
                    raise
                # The present certificate is good for a while yet.
                retry = min(retry * 2, _LONGEST_RETRY)
                _log.exception("the certificate of the webhooks cannot be renewed; next try in %g s", retry)

    def _use(self, pair: KeyPair) -> None:
        if pair == self._current or self._context is None:
            return
        # OpenSSL takes certificates from files only; a context that is in use gives the new one to new connections.
        with tempfile.TemporaryDirectory(prefix="kinformer-webhooks-") as folder:
            chain, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            chain.write_bytes(pair.certificate)
            key.touch(mode=0o600)
            key.write_bytes(pair.key)
            try:
                # A pair that does not fit must not reach the context that is in use.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
            except ssl.SSLError as error:
                msg = f"the certificate of the webhooks cannot be used: {error.reason}"
                raise ValueError(msg) from error
            self._context.load_cert_chain(chain, key)
        if self._current is not None:
            _log.info("the webhooks have a new certificate")
        self._current = pair

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        if request.method != "POST":
            return web.Response(text="the API server sends reviews by POST", status=405)
        body = bytearray()
        async for part in request.content.iter_any():
            body += part
            if len(body) > MOST_BYTES:
                return web.Response(text=f"a review has at most {MOST_BYTES} bytes", status=413)
        status, answer = await self._webhooks.answer(
            request.path, bytes(body), timeout=timeout_of(request.query_string)
        )
        return web.Response(status=status, body=answer, content_type=media_type_of(status))
