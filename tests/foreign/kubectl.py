"""A long sequence of kubectl commands."""

from __future__ import annotations

import shutil
from typing import Final

from benchmarks.peers.building import MissingError
from tests.foreign.answers import Commands

NAMESPACE: Final = "kubectl"

DEPLOYMENT: Final = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:1", ports: [{containerPort: 80}], resources: {limits: {cpu: 100m}}}
"""
WRONG: Final = DEPLOYMENT.replace("replicas: 2", "replicas: two")
TYPO: Final = DEPLOYMENT.replace("replicas: 2", "replica: 2")
TWO: Final = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {a: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: two}
stringData: {password: hidden}
"""
CRD: Final = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cogs.kubectl.example.com}
spec:
  group: kubectl.example.com
  scope: Namespaced
  names: {plural: cogs, singular: cog, kind: Cog, shortNames: [cg]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1}, note: {type: string}}
          status: {type: object, properties: {size: {type: integer}}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
"""
COG: Final = """
apiVersion: kubectl.example.com/v1
kind: Cog
metadata: {name: big}
spec: {size: 3}
"""

COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("create namespace kubectl", ""),
    ("create namespace kubectl", ""),
    ("create namespace Bad_Name", ""),
    ("create serviceaccount default", ""),
    ("config set-context --current --namespace=kubectl", ""),
    ("get pods", ""),
    ("get nosuch", ""),
    ("get pods nosuch", ""),
    ("create configmap settings --from-literal=a=1 --from-literal=b=2", ""),
    ("get configmap settings", ""),
    ("get configmap settings -o yaml", ""),
    ("get configmap settings -o jsonpath={.data.a}", ""),
    ("get cm -o name", ""),
    ("get cm -o custom-columns=NAME:.metadata.name,A:.data.a", ""),
    ("get cm -o wide --show-labels", ""),
    ("get cm -A --field-selector metadata.name=settings", ""),
    ("get cm --field-selector spec.x=1", ""),
    ("get cm -l !a,b=c", ""),
    ("get cm -l a=(", ""),
    ("describe serviceaccount default", ""),
    ("label configmap settings tier=back", ""),
    ("label configmap settings tier=front", ""),
    ("label --overwrite configmap settings tier=front", ""),
    ("label configmap settings tier-", ""),
    ("annotate configmap settings note=hello", ""),
    ('patch configmap settings -p {"data":{"c":"3"}}', ""),
    ('patch configmap settings --type=merge -p {"data":{"c":null}}', ""),
    ('patch configmap settings --type=json -p [{"op":"remove","path":"/data/nosuch"}]', ""),
    ('patch configmap settings -p {"data":5}', ""),
    ("create secret generic token --from-literal=t=x", ""),
    ("create secret tls broken --cert=/nosuch --key=/nosuch", ""),
    ("get secrets", ""),
    ("describe secret token", ""),
    ("apply -f -", TWO),
    ("apply -f -", TWO),
    ("apply -f - --dry-run=server", TWO),
    ("apply -f -", TWO.replace('"1"', '"2"')),
    ("diff -f -", TWO.replace('"1"', '"3"')),
    ("delete -f -", TWO),
    ("delete -f -", TWO),
    ("apply -f -", WRONG),
    ("apply -f -", TYPO),
    ("apply -f - --validate=false", TYPO),
    ("create -f - --validate=warn --dry-run=server", TYPO),
    ("apply -f -", DEPLOYMENT),
    ("create -f -", DEPLOYMENT),
    ("replace -f -", DEPLOYMENT),
    ("get deployments", ""),
    ("get deploy web -o wide", ""),
    ("describe deployment web", ""),
    ("scale deployment web --replicas=5", ""),
    ("scale deployment web --replicas=-1", ""),
    ("scale deployment web --current-replicas=2 --replicas=3", ""),
    ("autoscale deployment web --min=1 --max=3 --cpu-percent=50", ""),
    ("get hpa", ""),
    ("set image deployment/web web=web:2", ""),
    ("set image deployment/web nosuch=web:2", ""),
    ("set env deployment/web A=1 B=2", ""),
    ("set resources deployment web --limits=cpu=200m", ""),
    ("set serviceaccount deployment web robot", ""),
    ("rollout status deployment/web --timeout=1s", ""),
    ("rollout history deployment/web", ""),
    ("rollout pause deployment/web", ""),
    ("rollout pause deployment/web", ""),
    ("rollout resume deployment/web", ""),
    ("rollout restart deployment/web", ""),
    ("rollout undo deployment/web", ""),
    ("apply --server-side -f -", DEPLOYMENT),
    ("apply --server-side --force-conflicts -f -", DEPLOYMENT),
    ("expose deployment web --port=80 --target-port=8080", ""),
    ("get services", ""),
    ("describe service web", ""),
    ("create service nodeport np --tcp=80:80 --node-port=99", ""),
    ("create service externalname ext --external-name=a.example.com", ""),
    ("get svc ext", ""),
    ("run box --image=box:1 --restart=Never", ""),
    ("run Bad_Box --image=box:1", ""),
    ("get pods", ""),
    ("get pod box -o wide", ""),
    ("describe pod box", ""),
    ("logs box", ""),
    ("exec box -- true", ""),
    ("port-forward pod/box 18080:80", ""),
    ("cp box:/x /tmp/nosuch-x", ""),
    ("wait pod/box --for=condition=Ready --timeout=1s", ""),
    ("wait pod/box --for=jsonpath={.status.phase}=Pending --timeout=2s", ""),
    ("set image pod/box box=box:2", ""),
    ('patch pod box -p {"spec":{"restartPolicy":"Always"}}', ""),
    ("debug box --image=tool:1 -c tool --attach=false", ""),
    ("annotate pod box a=b --list", ""),
    ("delete pod box --grace-period=0 --force", ""),
    ("delete pod box", ""),
    ("delete pod box --ignore-not-found", ""),
    ("create job once --image=box:1 -- true", ""),
    ("get jobs", ""),
    ("describe job once", ""),
    ("create cronjob often --image=box:1 --schedule=*/5_*_*_*_*", ""),
    ("create cronjob never --image=box:1 --schedule=x", ""),
    ("get cronjobs", ""),
    ("create job manual --from=cronjob/often", ""),
    ("delete job once manual --cascade=background", ""),
    ("create role reader --verb=get,list --resource=pods,deployments.apps", ""),
    ("create rolebinding reads --role=reader --user=jane", ""),
    ("create clusterrole views --verb=get --non-resource-url=/healthz", ""),
    ("create clusterrolebinding views --clusterrole=views --group=team", ""),
    ("get roles,rolebindings -o wide", ""),
    ("describe role reader", ""),
    ("describe rolebinding reads", ""),
    ("auth can-i get pods", ""),
    ("auth whoami", ""),
    ("create token default --duration=10m", ""),
    ("create quota q --hard=secrets=5", ""),
    ("describe quota q", ""),
    ("create pdb guard --selector=app=web --min-available=1", ""),
    ("get pdb", ""),
    ("create ingress in --rule=a.example.com/=web:80", ""),
    ("get ingress", ""),
    ("describe ingress in", ""),
    ("create priorityclass high --value=1000", ""),
    ("get priorityclasses high", ""),
    ("get pc high -o wide", ""),
    ("get nodes", ""),
    ("cordon nosuch", ""),
    ("drain nosuch", ""),
    ("taint node nosuch a=b:NoSchedule", ""),
    ("top pods", ""),
    ("get events", ""),
    ("apply -f -", CRD),
    ("wait --for=condition=Established crd/cogs.kubectl.example.com --timeout=10s", ""),
    ("apply -f -", COG),
    ("apply -f -", COG.replace("size: 3", "size: 0")),
    ("apply -f -", COG.replace("size: 3", "size: x")),
    ("apply -f -", COG.replace("size: 3", "sise: 3")),
    ("get cogs", ""),
    ("get cg big -o yaml", ""),
    ("scale cog big --replicas=4", ""),
    ('patch cog big --subresource=status --type=merge -p {"status":{"size":4}}', ""),
    ("explain cogs.spec", ""),
    ("explain pods.spec.restartPolicy", ""),
    ("explain nosuch", ""),
    ("api-resources --api-group=kubectl.example.com", ""),
    ("api-resources --namespaced=false -o name", ""),
    ("api-versions", ""),
    ("get --raw /apis/apps/v1/namespaces/kubectl/deployments/nosuch", ""),
    ("get --raw /healthz", ""),
    ("delete crd cogs.kubectl.example.com --timeout=20s", ""),
    ("get all", ""),
    ("delete deployment,service,cm --all", ""),
    ("get pods --chunk-size=1 -A", ""),
    ("get cm --watch --request-timeout=1s", ""),
    ("replace --raw /api/v1/namespaces/kubectl/configmaps/nosuch -f -", '{"metadata":{"name":"nosuch"}}'),
    ("create --raw /api/v1/namespaces/kubectl/configmaps -f -", '{"metadata":{"name":"raw"}}'),
    ("delete cm raw --wait=false", ""),
    ("delete namespace kube-system", ""),
)
"""Each command with the text of its input. An underscore in a schedule stands for a space."""


def sequence() -> Commands:
    """The commands, in their order.

    Raises:
        MissingError: kubectl is not here.
    """
    if shutil.which("kubectl") is None:
        raise MissingError("kubectl is not installed")
    return Commands("kubectl", "kubectl", COMMANDS)
