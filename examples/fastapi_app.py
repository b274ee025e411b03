"""A service that answers from live caches: `uvicorn examples.fastapi_app:app`.

    pip install 'kinformer[fastapi]' uvicorn
    curl localhost:8000/nodes/node-1/pods          the pods of a node, by an index
    curl localhost:8000/cache/pods?labelSelector=app=web
    curl -N localhost:8000/cache/watch/pods        server-sent events
    curl localhost:8000/readyz

Without a cluster: `kinformer serve-api --demo --write-kubeconfig /tmp/kc`, and KUBECONFIG=/tmp/kc.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

from kinformer import Client, KubeObject, Lister, SharedInformerFactory, Trim
from kinformer.integrations.fastapi import Informers


def node_of(pod: KubeObject) -> list[str]:
    """Index function: the node a pod is on."""
    return [pod["spec"].get("nodeName", "")]


def make(client: Client) -> SharedInformerFactory:
    """The factory, with what this service needs of it."""
    factory = SharedInformerFactory(client, trim=Trim())
    factory.core.v1.pods.add_indexers({"node": node_of})
    return factory


informers = Informers(make)
Pods = Annotated[Lister, Depends(informers.lister("pods"))]
Deployments = Annotated[Lister, Depends(informers.lister("deployments"))]

app = FastAPI(title="What runs where", lifespan=informers.lifespan)
app.include_router(informers.health())
app.include_router(informers.router("pods", "deployments", "nodes"), prefix="/cache")


@app.get("/nodes/{node}/pods")
async def pods_on(node: str, pods: Pods) -> list[str]:
    """The pods on a node."""
    return sorted(str(pod.key) for pod in pods.by_index("node", node))


@app.get("/images/{namespace}/{name}")
def images(namespace: str, name: str, deployments: Deployments) -> list[str]:
    """Return the images of a deployment; FastAPI calls a plain `def` in a thread."""
    deployment = deployments.get(name, namespace)
    if deployment is None:
        raise HTTPException(status_code=404, detail=f"there is no deployment {namespace}/{name}")
    return [container["image"] for container in deployment.at("spec.template.spec.containers", default=[])]
