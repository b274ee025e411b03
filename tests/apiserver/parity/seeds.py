"""One valid object of each built-in kind that can be created: what the other requests are made from."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

__all__ = ["SEEDS", "seed"]

_CONTAINER: Final = {"name": "c", "image": "i:1"}
_LABELS: Final = {"app": "web"}
_SELECTOR: Final = {"matchLabels": _LABELS}
_MICRO: Final = "2026-01-01T00:00:00.000000Z"
_RBAC: Final = "rbac.authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_FLOW: Final = "flowcontrol.apiserver.k8s.io/v1"
_TARGET: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
_RULE: Final = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
_SERVICE_HOOK: Final = {"service": {"name": "hook", "namespace": "default", "path": "/x"}}


def _template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": _LABELS}, "spec": {"containers": [_CONTAINER], **spec}}


_POD: Final[dict[str, Any]] = {
    "spec": {
        "initContainers": [{"name": "init", "image": "i:1"}],
        "containers": [
            {
                "name": "web",
                "image": "web:1",
                "command": ["run"],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "ports": [{"name": "http", "containerPort": 80}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "64Mi"}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"exec": {"command": ["true"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
                "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cm", "configMap": {"name": "cm"}}],
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
        "nodeSelector": {"disk": "ssd"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
                }
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": _SELECTOR, "topologyKey": "kubernetes.io/hostname"}
                ]
            },
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": _SELECTOR}
        ],
        "imagePullSecrets": [{"name": "regcred"}],
        "securityContext": {"fsGroup": 1, "runAsNonRoot": True},
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}],
        "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]},
    }
}

SEEDS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("v1", "namespaces"): {"metadata": {"name": "parity-seed"}},
    ("v1", "configmaps"): {"data": {"a": "1"}, "binaryData": {"b": "AA=="}},
    ("v1", "secrets"): {"type": "Opaque", "data": {"a": "MQ=="}, "stringData": {"b": "2"}},
    ("v1", "serviceaccounts"): {"secrets": [{"name": "x"}], "automountServiceAccountToken": False},
    ("v1", "pods"): _POD,
    ("v1", "podtemplates"): {"template": _template()},
    ("v1", "replicationcontrollers"): {"spec": {"replicas": 1, "selector": _LABELS, "template": _template()}},
    ("v1", "services"): {
        "spec": {
            "selector": _LABELS,
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http"},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ],
        }
    },
    ("v1", "endpoints"): {
        "subsets": [{"addresses": [{"ip": "10.1.2.3", "nodeName": "n"}], "ports": [{"name": "http", "port": 80}]}]
    },
    ("v1", "events"): {
        "involvedObject": {"kind": "Pod", "namespace": "parity", "name": "p"},
        "reason": "Started",
        "message": "it started",
        "type": "Normal",
        "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:01:00Z",
        "source": {"component": "kubelet", "host": "n"},
    },
    ("v1", "limitranges"): {
        "spec": {
            "limits": [
                {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}, "min": {"storage": "1Mi"}},
            ]
        }
    },
    ("v1", "resourcequotas"): {"spec": {"hard": {"count/jobs.batch": "10", "secrets": "1k"}}},
    ("v1", "persistentvolumeclaims"): {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    ("v1", "persistentvolumes"): {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    ("v1", "nodes"): {
        "spec": {"podCIDR": "10.9.0.0/24", "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}
    },
    ("apps/v1", "deployments"): {
        "spec": {
            "replicas": 2,
            "selector": _SELECTOR,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
            "template": _template(),
        }
    },
    ("apps/v1", "replicasets"): {"spec": {"replicas": 1, "selector": _SELECTOR, "template": _template()}},
    ("apps/v1", "statefulsets"): {
        "spec": {
            "serviceName": "web",
            "replicas": 1,
            "selector": _SELECTOR,
            "template": _template(),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ],
        }
    },
    ("apps/v1", "daemonsets"): {
        "spec": {"selector": _SELECTOR, "updateStrategy": {"type": "OnDelete"}, "template": _template()}
    },
    ("apps/v1", "controllerrevisions"): {"revision": 1, "data": {"spec": {}}},
    ("batch/v1", "jobs"): {
        "spec": {"backoffLimit": 2, "completions": 2, "parallelism": 1, "template": _template(restartPolicy="Never")}
    },
    ("batch/v1", "cronjobs"): {
        "spec": {
            "schedule": "*/5 * * * *",
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": _template(restartPolicy="OnFailure")}},
        }
    },
    ("autoscaling/v2", "horizontalpodautoscalers"): {
        "spec": {
            "scaleTargetRef": _TARGET,
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                },
                {
                    "type": "Pods",
                    "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "10"}},
                },
            ],
        }
    },
    ("autoscaling/v1", "horizontalpodautoscalers"): {
        "spec": {"scaleTargetRef": _TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    },
    ("policy/v1", "poddisruptionbudgets"): {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    ("coordination.k8s.io/v1", "leases"): {
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": _MICRO, "leaseTransitions": 1}
    },
    ("networking.k8s.io/v1", "ingresses"): {
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["a.example.com"], "secretName": "s"}],
            "rules": [
                {
                    "host": "a.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "web", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ],
        }
    },
    ("networking.k8s.io/v1", "ingressclasses"): {
        "spec": {
            "controller": "example.com/ctl",
            "parameters": {"kind": "K", "apiGroup": "x.io", "name": "n", "scope": "Cluster"},
        }
    },
    ("networking.k8s.io/v1", "networkpolicies"): {
        "spec": {
            "podSelector": _SELECTOR,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 90}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
        }
    },
    ("networking.k8s.io/v1", "ipaddresses"): {
        "metadata": {"name": "10.0.0.250"},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "x"}},
    },
    ("networking.k8s.io/v1", "servicecidrs"): {"spec": {"cidrs": ["10.77.0.0/24"]}},
    ("discovery.k8s.io/v1", "endpointslices"): {
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.1.2.3"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "p"}}
        ],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    },
    ("events.k8s.io/v1", "events"): {
        "eventTime": _MICRO,
        "reportingController": "example.com/ctl",
        "reportingInstance": "ctl-1",
        "action": "Binding",
        "reason": "Bound",
        "note": "bound it",
        "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "parity", "name": "p"},
    },
    (f"{_RBAC}/v1", "roles"): {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    (f"{_RBAC}/v1", "clusterroles"): {"rules": [{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]},
    (f"{_RBAC}/v1", "rolebindings"): {
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "sa", "namespace": "parity"}],
    },
    (f"{_RBAC}/v1", "clusterrolebindings"): {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "name": "team"}],
    },
    ("scheduling.k8s.io/v1", "priorityclasses"): {"value": 7, "description": "middling"},
    ("node.k8s.io/v1", "runtimeclasses"): {
        "handler": "runsc",
        "overhead": {"podFixed": {"memory": "64Mi"}},
        "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
    },
    ("storage.k8s.io/v1", "storageclasses"): {
        "provisioner": "example.com/disk",
        "parameters": {"kind": "fast"},
        "mountOptions": ["ro"],
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
    },
    ("storage.k8s.io/v1", "csidrivers"): {
        "spec": {"attachRequired": False, "tokenRequests": [{"audience": "x", "expirationSeconds": 3600}]}
    },
    ("storage.k8s.io/v1", "csinodes"): {
        "spec": {
            "drivers": [{"name": "d.example.com", "nodeID": "n", "topologyKeys": ["zone"], "allocatable": {"count": 3}}]
        }
    },
    ("storage.k8s.io/v1", "csistoragecapacities"): {
        "storageClassName": "fast",
        "capacity": "1Gi",
        "nodeTopology": _SELECTOR,
    },
    ("storage.k8s.io/v1", "volumeattachments"): {
        "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}
    },
    ("storage.k8s.io/v1", "volumeattributesclasses"): {"driverName": "d.example.com", "parameters": {"iops": "10"}},
    (_ADMISSION, "validatingwebhookconfigurations"): {
        "webhooks": [
            {
                "name": "hook.example.com",
                "clientConfig": _SERVICE_HOOK,
                "rules": [_RULE],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Ignore",
                "namespaceSelector": {"matchLabels": {"never": "x"}},
            }
        ]
    },
    (_ADMISSION, "mutatingwebhookconfigurations"): {
        "webhooks": [
            {
                "name": "hook.example.com",
                "clientConfig": {"url": "https://hook.example.com/x"},
                "rules": [_RULE | {"resources": ["nosuch"]}],
                "sideEffects": "NoneOnDryRun",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Ignore",
            }
        ]
    },
    (_ADMISSION, "validatingadmissionpolicies"): {
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [_RULE | {"resources": ["nosuch"]}]},
            "validations": [{"expression": "object.spec.replicas <= 5", "message": "too many"}],
        }
    },
    (_ADMISSION, "validatingadmissionpolicybindings"): {
        "spec": {"policyName": "nosuch", "validationActions": ["Deny"]}
    },
    (_ADMISSION, "mutatingadmissionpolicies"): {
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [_RULE | {"resources": ["nosuch"]}]},
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"},
                }
            ],
        }
    },
    (_ADMISSION, "mutatingadmissionpolicybindings"): {"spec": {"policyName": "nosuch"}},
    (_FLOW, "flowschemas"): {
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-low"},
            "matchingPrecedence": 9000,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [
                {
                    "subjects": [{"kind": "Group", "group": {"name": "nosuch"}}],
                    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/nosuch"]}],
                }
            ],
        }
    },
    (_FLOW, "prioritylevelconfigurations"): {
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": 5,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 10}},
            },
        }
    },
    ("apiregistration.k8s.io/v1", "apiservices"): {
        "metadata": {"name": "v1.parity.example.com"},
        "spec": {
            "group": "parity.example.com",
            "version": "v1",
            "service": {"name": "nosuch", "namespace": "default"},
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
        },
    },
    ("apiextensions.k8s.io/v1", "customresourcedefinitions"): {
        "metadata": {"name": "seeds.parity.example.org"},
        "spec": {
            "group": "parity.example.org",
            "scope": "Namespaced",
            "names": {"plural": "seeds", "singular": "seed", "kind": "Seed"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}},
                        }
                    },
                    "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}],
                }
            ],
        },
    },
    ("resource.k8s.io/v1", "deviceclasses"): {"spec": {"selectors": [{"cel": {"expression": "device.driver == 'x'"}}]}},
    ("resource.k8s.io/v1", "resourceclaims"): {
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
    },
    ("resource.k8s.io/v1", "resourceclaimtemplates"): {
        "spec": {
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
        }
    },
    ("resource.k8s.io/v1", "resourceslices"): {
        "spec": {
            "driver": "gpu.example.com",
            "nodeName": "n",
            "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "x"}}}],
        }
    },
}


def seed(api_version: str, plural: str, kind: str, name: str = "seed") -> dict[str, Any]:
    """Return a valid object; it shares nothing with the table."""
    made = deepcopy(SEEDS[api_version, plural])
    metadata = {"name": name} | made.pop("metadata", {}) | {"labels": dict(_LABELS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **made}
