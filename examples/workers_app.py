"""A service in several worker processes, with one list and one watch for all of them.

    pip install 'kinformer[fastapi,compact]' uvicorn
    uvicorn examples.workers_app:app --workers 4 --timeout-graceful-shutdown 1
    curl localhost:8000/worker                     the process that has answered, and whether it serves the others
    curl localhost:8000/cache/pods?labelSelector=app=web
    curl localhost:8000/readyz

Ask `/worker` some times, end the serving process with `kill -9`, and ask again: another worker serves, and uvicorn
starts a new one. Without a cluster: `kinformer serve-api --demo --write-kubeconfig /tmp/kc`, and KUBECONFIG=/tmp/kc.
"""

import os

from fastapi import FastAPI

from kinformer import Client, SharedInformerFactory, Trim
from kinformer.integrations.fastapi import Informers


def make(client: Client) -> SharedInformerFactory:
    """The factory of each worker: its objects are small, because there are as many caches as workers."""
    return SharedInformerFactory(client, trim=Trim(), storage="compact")


informers = Informers(make, shared=True)
app = FastAPI(title="One watch for all workers", lifespan=informers.lifespan)
app.include_router(informers.health(max_age=300))
app.include_router(informers.router("pods"), prefix="/cache")


@app.get("/worker")
async def worker() -> dict[str, int | bool]:
    """The worker that answers."""
    workers = informers.workers
    return {"pid": os.getpid(), "serves": workers is not None and workers.serves}
