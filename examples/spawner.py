"""The servers of users as pods, seen by a web service: JupyterHub's KubeSpawner does this with its own reflectors.

    python examples/spawner.py --namespace hub --port 8080
    curl http://127.0.0.1:8080/users/ada                  # the state of the user's pod
    curl http://127.0.0.1:8080/users/ada/progress         # its progress, live

A spawner keeps two caches, of the pods with its label and of their Events, and its request handlers read them: no
request to the API server is made for a page. This is what a hand-written reflector offers (`pods`, `first_load`, a
callback when it fails for good), on informers. In addition, informers miss nothing when a watch
breaks, recover from expired versions, and show the spawner's own writes in the next read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Self

from aiohttp import web

from kinformer import (
    AlreadyExistsError,
    Client,
    ClusterConfig,
    KubeObject,
    NotFoundError,
    SharedInformerFactory,
)
from kinformer.operators.wait_conditions import condition_true, deleted, phase
from kinformer.resources import EVENTS, PODS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from kinformer import KinformerError, SharedInformer

log = logging.getLogger("spawner")

LABELS = {"app": "jupyterhub", "component": "singleuser-server"}


class Reflectors:
    """The pods of the users, and their Events, of one namespace.

    Args:
        client: speaks to the API server.
        namespace: where the pods are.
        on_failure: called when a cache could not be kept up for five minutes on end, as a hub ends itself then.
    """

    def __init__(self, client: Client, namespace: str, on_failure: Callable[[], None] = lambda: None) -> None:
        self.client = client
        self.namespace = namespace
        self.factory = SharedInformerFactory(client, namespace=namespace, give_up_after=300, on_give_up=self.failed)
        self.pods = self.factory.informer(PODS, label_selector=LABELS)
        self.events = self.factory.informer(EVENTS, field_selector="involvedObject.kind=Pod")
        self.events.add_indexers({"pod": lambda event: [event.at("involvedObject.name", "")]})
        self.first_load: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_failure = on_failure

    async def __aenter__(self) -> Self:
        """Fill the caches; `first_load` is done then."""
        await self.factory.__aenter__()
        try:
            await self.factory.wait_for_cache_sync(timeout=60)
        except BaseException:
            await self.factory.stop()
            raise
        self.first_load.set_result(None)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """End the watches."""
        await self.factory.stop()

    def failed(self, error: KinformerError | None, informer: SharedInformer) -> bool:
        """A cache gave up."""
        log.critical("%s cannot be followed any more: %s", informer.name, error)
        self.on_failure()
        return False

    def pod_of(self, user: str) -> KubeObject | None:
        """A user's pod as it is now; a read of the cache, to be called in any request handler."""
        return self.pods.lister.get(f"jupyter-{user}", namespace=self.namespace)

    def events_of(self, pod: KubeObject) -> list[KubeObject]:
        """The Events of this very pod, the oldest first."""
        events = self.events.lister.by_index("pod", pod.name)
        return sorted((event for event in events if event.at("involvedObject.uid") in {None, pod.uid}), key=when)

    async def progress(self, user: str) -> AsyncGenerator[KubeObject, None]:
        """The Events of a user's pod, as they come, until it is ready or gone."""
        told: set[tuple[str, str]] = set()
        pod = self.pod_of(user)
        if pod is None:
            return
        news = asyncio.Event()
        handlers = [informer.add_event_handler(lambda _: news.set()) for informer in (self.events, self.pods)]
        try:
            while pod is not None:
                for event in self.events_of(pod):
                    if (event.uid, event.resource_version) not in told:
                        told.add((event.uid, event.resource_version))
                        yield event
                if (condition_true("Ready") | phase("Failed", "Succeeded"))(pod):
                    return
                news.clear()
                await news.wait()
                now = self.pod_of(user)
                pod = now if now is not None and now.uid == pod.uid else None
        finally:
            for handler in handlers:
                await handler.remove()


class Spawner:
    """Starts and stops the pods."""

    def __init__(self, reflectors: Reflectors, image: str) -> None:
        self.reflectors = reflectors
        self.client = reflectors.client
        self.image = image

    def poll(self, user: str) -> int | None:
        """As a hub asks: `None` while the server runs or starts, else its exit code."""
        pod = self.reflectors.pod_of(user)
        if pod is None:
            return 0
        if phase("Succeeded", "Failed")(pod) or pod.at("metadata.deletionTimestamp"):
            return int(pod.at("status.containerStatuses.0.state.terminated.exitCode", 1))
        return None

    async def start(self, user: str, timeout: float = 300) -> str:
        """Start a user's server and wait until it is ready; returns its address.

        Raises:
            WaitTimeoutError: it is not ready in time; the message names the missing condition.
            RuntimeError: it has failed, or was deleted meanwhile.
        """
        manifest = {
            "metadata": {"name": f"jupyter-{user}", "labels": {**LABELS, "hub.jupyter.org/username": user}},
            "spec": {"containers": [{"name": "notebook", "image": self.image}], "restartPolicy": "Never"},
        }
        try:
            pod = await self.client.create(PODS, manifest, namespace=self.reflectors.namespace)
        except AlreadyExistsError:
            # Left by a start that was given up: it is the same pod.
            pod = await self.client.get(PODS, f"jupyter-{user}", namespace=self.reflectors.namespace)
        over = phase("Failed", "Succeeded") | deleted(pod)
        await self.reflectors.pods.caught_up(pod)
        ready = await self.reflectors.pods.wait_for(pod.key, condition_true("Ready") | over, timeout)
        if ready is None or over(ready):
            msg = f"the server of {user} did not start: {over.name}"
            raise RuntimeError(msg)
        return f"http://{ready.at('status.podIP')}:8888"

    async def stop(self, user: str, timeout: float = 60) -> None:
        """Stop a user's server and wait until it is gone.

        Raises:
            WaitTimeoutError: it is not gone in time.
        """
        pod = self.reflectors.pod_of(user)
        if pod is None:
            return
        with contextlib.suppress(NotFoundError):
            await self.client.delete(PODS, pod, uid=pod.uid)
        await self.reflectors.pods.wait_for(pod.key, deleted(pod), timeout)


def when(event: KubeObject) -> str:
    """Return the time at which an Event was last seen; equal times keep the order of writing."""
    return str(event.at("lastTimestamp") or event.at("eventTime") or event.at("metadata.creationTimestamp"))


def web_service(reflectors: Reflectors) -> web.Application:
    """The pages. Their handlers read caches."""
    routes = web.RouteTableDef()

    @routes.get("/users")
    async def users(request: web.Request) -> web.Response:
        del request
        pods = reflectors.pods.lister.list()
        return web.json_response({pod.labels["hub.jupyter.org/username"]: pod.at("status.phase") for pod in pods})

    @routes.get("/users/{user}")
    async def user(request: web.Request) -> web.Response:
        pod = reflectors.pod_of(request.match_info["user"])
        if pod is None:
            raise web.HTTPNotFound(text="no server")
        messages = [event["message"] for event in reflectors.events_of(pod)]
        return web.json_response({"phase": pod.at("status.phase"), "events": messages})

    @routes.get("/users/{user}/progress")
    async def progress(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async with contextlib.aclosing(reflectors.progress(request.match_info["user"])) as events:
            async for event in events:
                await response.write(f"data: {json.dumps({'message': event['message']})}\n\n".encode())
        return response

    @routes.get("/healthz")
    async def healthz(request: web.Request) -> web.Response:
        del request
        if not reflectors.first_load.done() or not reflectors.factory.is_fresh(max_age=660):
            raise web.HTTPServiceUnavailable(text="the caches are not kept up")
        return web.Response(text="ok")

    app = web.Application()
    app.add_routes(routes)
    return app


async def main(arguments: argparse.Namespace) -> None:
    """Serve until stopped."""
    config = await ClusterConfig.load(kubeconfig=arguments.kubeconfig, context=arguments.context)
    failed = asyncio.Event()
    async with Client(config) as client, Reflectors(client, arguments.namespace, failed.set) as reflectors:
        runner = web.AppRunner(web_service(reflectors))
        await runner.setup()
        try:
            await web.TCPSite(runner, arguments.host, arguments.port).start()
            log.info("serving http://%s:%d/users", arguments.host, arguments.port)
            await failed.wait()
        finally:
            await runner.cleanup()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", help="instead of KUBECONFIG, ~/.kube/config or the pod's service account")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--namespace", default="default", help="where the users' pods are")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=8080)
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments()))
