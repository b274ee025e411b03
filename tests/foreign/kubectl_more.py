"""A second sequence of kubectl commands: apply sets, server-side apply, rollouts, patches, certificates, policies."""

from __future__ import annotations

import json
import shutil
from typing import Any, Final

from benchmarks.peers.building import MissingError
from tests.foreign.answers import Commands

_LABELS: Final = {"app": "shop"}


def _object(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": _LABELS}, **fields}


def _text(*objects: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(one) for one in objects)


def _pod_spec(image: str) -> dict[str, Any]:
    return {"containers": [{"name": "shop", "image": image, "ports": [{"containerPort": 80}]}]}


def _workload(kind: str, name: str, image: str = "shop:1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"run": name}}, "spec": _pod_spec(image)}
    return _object(
        "apps/v1", kind, name, spec={"selector": {"matchLabels": {"run": name}}, "template": template} | spec
    )


def _map(name: str, **data: str) -> dict[str, Any]:
    return _object("v1", "ConfigMap", name, data=data)


_SHOP: Final = _workload("Deployment", "shop", replicas=2)
_DAEMON: Final = _workload("DaemonSet", "agent")
_STATEFUL: Final = _workload("StatefulSet", "db", serviceName="db", replicas=1)
_POLICY: Final = _object(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicy",
    "few.example.com",
    spec={
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]}
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "more"}},
        },
        "validations": [{"expression": "!has(object.spec.replicas) || object.spec.replicas <= 5"}],
    },
)
_BINDING: Final = _object(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "few.example.com",
    spec={"policyName": "few.example.com", "validationActions": ["Deny"]},
)
COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("create namespace more", ""),
    ("config set-context --current --namespace=more", ""),
    ("create serviceaccount default", ""),
    ("diff -f -", _text(_SHOP)),
    ("apply --server-side -f -", _text(_SHOP)),
    ("apply --server-side --field-manager=other -f -", _text(_workload("Deployment", "shop", "shop:9"))),
    (
        "apply --server-side --field-manager=other --force-conflicts -f -",
        _text(_workload("Deployment", "shop", "shop:9")),
    ),
    ("apply --server-side -f -", _text(_SHOP)),
    ("diff --server-side -f -", _text(_workload("Deployment", "shop", "shop:9"))),
    ("apply -f - --prune -l app=shop --prune-allowlist=core/v1/ConfigMap", _text(_map("a", x="1"), _map("b", x="1"))),
    ("apply -f - --prune -l app=shop --prune-allowlist=core/v1/ConfigMap", _text(_map("a", x="1"))),
    ("get cm -l app=shop -o name", ""),
    ("apply -f - --prune --all --prune-allowlist=core/v1/ConfigMap --dry-run=server", _text(_map("c", x="1"))),
    ("replace --force -f -", _text(_map("a", x="2"))),
    ("replace -f - --save-config", _text(_map("a", x="3"))),
    ("apply view-last-applied cm a", ""),
    ("apply set-last-applied -f -", _text(_map("a", x="4"))),
    ('patch cm a --type=strategic -p {"data":{"x":null,"y":"1"}}', ""),
    ('patch cm a --type=json -p [{"op":"test","path":"/data/y","value":"2"}]', ""),
    ('patch cm a --type=json -p [{"op":"replace","path":"/data/y","value":"2"}] -o yaml', ""),
    ('patch deployment shop --subresource=status --type=merge -p {"status":{"replicas":1}}', ""),
    ('patch deployment shop --subresource=scale --type=merge -p {"spec":{"replicas":3}}', ""),
    ("patch deployment shop --subresource=nosuch --type=merge -p {}", ""),
    ("get deployment shop --subresource=scale -o yaml", ""),
    ("get deployment shop --subresource=status", ""),
    ("edit cm nosuch", ""),
    ("rollout history deployment/shop", ""),
    ("rollout undo deployment/shop --to-revision=7", ""),
    ("rollout restart deployment/shop -n nosuch", ""),
    ("rollout status deployment/shop --watch=false", ""),
    ("rollout pause deployment/nosuch", ""),
    ("apply -f -", _text(_DAEMON, _STATEFUL)),
    ("rollout status daemonset/agent --watch=false", ""),
    ("rollout status statefulset/db --watch=false", ""),
    ("rollout history statefulset/db", ""),
    ("rollout pause daemonset/agent", ""),
    ("get ds,sts -o wide", ""),
    ("set image daemonset/agent shop=shop:2", ""),
    ("set env daemonset/agent A=1 --list", ""),
    ("set env daemonset/agent --from=configmap/a", ""),
    ("set resources statefulset db --requests=cpu=100m,memory=64Mi --limits=cpu=50m", ""),
    ("set selector service nosuch a=b", ""),
    ("set subject rolebinding nosuch --user=jo", ""),
    ("scale statefulset db --replicas=3", ""),
    ("scale --replicas=2 statefulset/db deployment/shop", ""),
    ("autoscale statefulset db --min=2 --max=1", ""),
    ("autoscale deployment shop --max=4 --name=h", ""),
    ("get hpa h -o yaml", ""),
    ("expose statefulset db --port=5432 --cluster-ip=None --name=db", ""),
    ("expose deployment shop --port=80 --type=NodePort --protocol=UDP", ""),
    ("expose deployment shop --port=80", ""),
    ("describe svc db", ""),
    ("run once --image=box:1 --restart=OnFailure --env=A=b --labels=x=y --port=80", ""),
    ("run once2 --image=box:1 --dry-run=server -o yaml", ""),
    ('run bad --image=box:1 --overrides={"spec":{"restartPolicy":"Sometimes"}}', ""),
    ("set image pod/once once=box:2", ""),
    ("label pod once x-", ""),
    ("label pods --all tier=back --overwrite", ""),
    ("label pod once tier=front --resource-version=1", ""),
    ("annotate pod once note=one note2=two", ""),
    ("annotate pod once note=two", ""),
    ("wait pod once --for=condition=Ready=False --timeout=1s", ""),
    ("wait pod once --for=jsonpath={.spec.restartPolicy}=OnFailure --timeout=5s", ""),
    ("wait pod nosuch --for=delete --timeout=5s", ""),
    ("wait pod nosuch --for=create --timeout=1s", ""),
    ("events", ""),
    ("events --for pod/once", ""),
    ("get events -o wide", ""),
    ("top pods", ""),
    ("top nodes", ""),
    ("attach once", ""),
    ("exec once -c nosuch -- true", ""),
    ("logs once -c nosuch", ""),
    ("logs deployment/shop", ""),
    ("logs -l x=y", ""),
    ("debug once --image=tool:1 --attach=false", ""),
    ("debug once --image=tool:1 --copy-to=once-copy --attach=false", ""),
    ("get pod once-copy -o jsonpath={.spec.containers[*].name}", ""),
    ("cp once:/etc/hosts /tmp/kinformer-nosuch", ""),
    ("create -f -", _text({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})),
    ("cordon n1", ""),
    ("cordon n1", ""),
    ("uncordon n1", ""),
    ("taint node n1 a=b:NoSchedule", ""),
    ("taint node n1 a=b:NoSchedule", ""),
    ("taint node n1 a:NoSchedule-", ""),
    ("taint node n1 a=b:Nosuch", ""),
    ("label node n1 zone=a", ""),
    ("drain n1", ""),
    ("drain nosuch", ""),
    ("get nodes -o wide", ""),
    ("describe node n1", ""),
    ("delete node n1", ""),
    ("auth can-i create pods", ""),
    ("auth can-i get pods/log --subresource=log -q", ""),
    ("auth can-i nosuch pods", ""),
    ("auth can-i get nosuch", ""),
    ("auth can-i get /metrics", ""),
    ("create token default", ""),
    ("create token default --duration=1m", ""),
    ("create token nosuch", ""),
    ("create token default --bound-object-kind=Pod --bound-object-name=nosuch", ""),
    ("apply -f -", _text(_POLICY)),
    ("get validatingadmissionpolicy few.example.com", ""),
    ("create -f - --dry-run=server", _text(_BINDING)),
    ("create quota q --hard=pods=1", ""),
    ("create priorityclass high --value=1000 --description=high", ""),
    ("create poddisruptionbudget p --selector=run=shop --min-available=1", ""),
    ("create ingress i --rule=a.example.com/*=shop:80", ""),
    ("create ingress i2 --class=c --rule=a.example.com/x=shop:http,tls=t", ""),
    ("create job j --image=box:1 --dry-run=client -o yaml", ""),
    ("create secret docker-registry reg --docker-username=u --docker-password=p", ""),
    ("create secret generic s --type=kubernetes.io/basic-auth --from-literal=username=u", ""),
    ("create clusterrole agg --aggregation-rule=rbac.example.com/x=true", ""),
    ("create rolebinding rb --clusterrole=view --serviceaccount=more:default --dry-run=server -o yaml", ""),
    ("create service clusterip c --tcp=80:8080 --clusterip=None", ""),
    ("create service loadbalancer l --tcp=80", ""),
    ("get svc c l", ""),
    ("get svc -o custom-columns=N:.metadata.name,P:.spec.ports[*].port --sort-by=.metadata.name", ""),
    ("get all -o name", ""),
    ("get deploy shop -o go-template={{.spec.replicas}}", ""),
    ("get deploy shop -o jsonpath-as-json={.spec.replicas}", ""),
    ("get deploy,svc -l app=shop --no-headers -o custom-columns=K:.kind", ""),
    ("get deploy --field-selector=metadata.name!=shop", ""),
    ("get pods --field-selector=status.phase=Pending,spec.restartPolicy=OnFailure -o name", ""),
    ("get pods --field-selector=spec.nosuch=1", ""),
    ("get cm --sort-by=.metadata.creationTimestamp -o name", ""),
    ("get --raw /version", ""),
    ("get --raw /livez/ping", ""),
    ("get --raw /readyz/nosuch", ""),
    ("get --raw /nosuch", ""),
    ("get --raw /apis/nosuch.example.com/v1", ""),
    ("get --raw /api/v1/namespaces/more/services/nosuch/proxy/", ""),
    ("get --raw /api/v1/namespaces/more/services/db/proxy/", ""),
    ("explain pod.spec.containers.resources", ""),
    ("explain deployment.spec.strategy --recursive", ""),
    ("explain cronjobs --api-version=batch/v1 --recursive", ""),
    ("explain nosuch", ""),
    ("api-resources --api-group=apps -o wide", ""),
    ("api-resources --verbs=create --api-group=policy", ""),
    ("api-resources --categories=all -o name", ""),
    ("create -f - --raw /api/v1/namespaces/more/pods", "{"),
    ("apply -f -", "a: b"),
    ("apply -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a]}\n"),
    ("apply -f -", "apiVersion: nosuch/v1\nkind: Nosuch\nmetadata: {name: a}\n"),
    ("apply -f - --dry-run=client", _text(_map("d", x="1"))),
    ("apply -f - -o jsonpath={.data.x}", _text(_map("d", x="1"))),
    ("create -f - --validate=strict", _text(_map("e") | {"nosuch": 1})),
    ("create -f - --validate=warn", _text(_map("e") | {"nosuch": 1})),
    ("delete cm e --now", ""),
    ("delete cm -l nosuch=label", ""),
    ("delete cm --field-selector metadata.name=d", ""),
    ("delete deployment shop --cascade=orphan --wait=false", ""),
    ("delete sts db --cascade=foreground --wait=false --dry-run=server", ""),
    ("delete pods --all --grace-period=0 --force", ""),
    ("delete ds agent --cascade=nosuch", ""),
    ("delete ds/agent svc/db", ""),
    ("delete validatingadmissionpolicy few.example.com", ""),
    ("delete priorityclass high", ""),
    ("delete clusterrole agg", ""),
    ("certificate approve nosuch", ""),
    ("get csr", ""),
    ("version -o json --client=false", ""),
    ("cluster-info", ""),
    ("auth whoami -o json", ""),
)
"""Each command with the text of its input."""


def sequence() -> Commands:
    """The commands, in their order.

    Raises:
        MissingError: kubectl is not here.
    """
    if shutil.which("kubectl") is None:
        raise MissingError("kubectl is not installed")
    return Commands("kubectl-more", "kubectl", COMMANDS)
