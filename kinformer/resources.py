"""Resources to list and watch: `Resource`, and a constant for each resource that a Kubernetes 1.37 API server serves.

The constants are named by the plural, as kubectl, RBAC rules and URLs name it: `PODS`, `REPLICASETS`, `LEASES`.
The table follows the discovery documents of a real kube-apiserver 1.37. Four resources are not served by older servers:
`CLUSTERTRUSTBUNDLES`, `DEVICETAINTRULES`, `PODCERTIFICATEREQUESTS` and `STORAGEVERSIONMIGRATIONS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.errors import UnknownResourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PLURAL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class _ForNoEncoder:
    """A value that no encoder knows, so that encoders refuse a `KubeObject`, which has a `Resource`.

    msgspec would write the fields of the object in memory otherwise, and not its manifest. Its error names the class.
    """

    __slots__ = ()

    def __reduce__(self) -> str:
        return "_FOR_NO_ENCODER"  # pickles and copies have the same value


_ForNoEncoder.__name__ = _ForNoEncoder.__qualname__ = "KubeObject (use its to_json() or to_dict())"
_FOR_NO_ENCODER: Final = _ForNoEncoder()


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object of the API, and the place where it is served.

    Two resources are equal if group, version and plural are equal; the other attributes only describe.

    Args:
        group: the API group, "" for the core group.
        version: such as "v1" or "v1beta1".
        plural: as in URLs, lower case.
        kind: as in manifests, such as "Deployment".
        namespaced: whether its objects live in namespaces.
        singular: defaults to the kind in lower case.
        short_names: abbreviations that kubectl accepts, such as "deploy".
        in_all: whether `kubectl get all` shows it.
        watchable: whether it can be listed and watched (a TokenReview, for example, can only be created).

    Raises:
        ValueError: group, version or plural cannot be part of a URL, or the kind is empty.

    Examples:
        >>> widgets = Resource("example.com", "v1", "widgets", "Widget")
        >>> widgets.qualified
        'widgets.example.com'
    """

    group: str
    version: str
    plural: str
    kind: str = field(compare=False)
    namespaced: bool = field(default=True, compare=False)
    singular: str = field(default="", compare=False)
    short_names: tuple[str, ...] = field(default=(), compare=False)
    in_all: bool = field(default=False, compare=False)
    watchable: bool = field(default=True, compare=False)
    _for_no_encoder: object = field(default=_FOR_NO_ENCODER, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.group and not _GROUP.fullmatch(self.group):
            msg = f"{self.group!r} is no API group: expected a DNS name such as 'example.com', or '' for the core group"
            raise ValueError(msg)
        if not _VERSION.fullmatch(self.version):
            msg = (
                f"{self.version!r} is no API version: expected one such as 'v1' or 'v1beta1' (the group is given apart)"
            )
            raise ValueError(msg)
        if not _PLURAL.fullmatch(self.plural):
            msg = f"{self.plural!r} is no resource name: expected the plural in lower case, such as 'deployments'"
            raise ValueError(msg)
        if not self.kind:
            msg = f"resource {self.plural!r} needs its kind, such as 'Deployment'"
            raise ValueError(msg)
        if not self.singular:
            object.__setattr__(self, "singular", self.kind.lower())

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects: "v1", "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """`kind` of its lists: "DeploymentList"."""
        return f"{self.kind}List"

    @property
    def full_name(self) -> str:
        """The unambiguous name: "deployments.v1.apps", "pods.v1"."""
        return f"{self.plural}.{self.version}.{self.group}".rstrip(".")

    @property
    def qualified(self) -> str:
        """The name in error messages and RBAC: "deployments.apps", "pods"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of a list (without a name), an object, or a subresource.

        Args:
            namespace: the namespace; `None` or "" means all of them, or a cluster-scoped object.
            name: the object's name.
            subresource: such as "status".

        Raises:
            ValueError: a namespace for a cluster-scoped resource, a name without the namespace it needs, or a part
                that would change the path.
        """
        for part in (namespace, name, subresource):
            if part and ("/" in part or "%" in part or part in {".", ".."}):
                msg = f"{part!r} cannot be part of the URL of a {self.kind}"
                raise ValueError(msg)
        if namespace and not self.namespaced:
            msg = f"{self.qualified} are cluster-scoped; leave the namespace ({namespace!r}) out"
            raise ValueError(msg)
        if name and self.namespaced and not namespace:
            msg = f"{self.qualified} live in namespaces; say which one {name!r} is in"
            raise ValueError(msg)
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        if subresource:
            path += f"/{subresource}"
        return path

    def answers_to(self, word: str) -> bool:
        """Return whether kubectl accepts the word (plural, singular, kind, short name; any case) for this resource."""
        word = word.lower()
        return word in {self.plural, self.singular, self.kind.lower()} or word in self.short_names

    def __str__(self) -> str:
        return self.full_name


@dataclass(frozen=True, slots=True)
class ResourceName:
    """A name as people type it: "po", "deployments.apps", "widgets.v1.example.com"; missing parts are empty."""

    word: str
    version: str = ""
    group: str | None = None

    @classmethod
    def parse(cls, name: str) -> ResourceName:
        """Parse a kubectl-style name.

        Raises:
            UnknownResourceError: it is empty, or has an empty part.
        """
        word, dot, rest = name.strip().partition(".")
        if not word or (dot and not rest):
            msg = f"{name!r} is no resource name; write it as 'pods', 'po' or 'widgets.v1.example.com'"
            raise UnknownResourceError(msg)
        if not rest:
            return cls(word)
        first, _, group = rest.partition(".")
        if _VERSION.fullmatch(first):
            return cls(word, first, group)
        return cls(word, "", rest)

    def matches(self, resource: Resource) -> bool:
        """Return whether this name can mean that resource."""
        return (
            resource.answers_to(self.word)
            and (not self.version or self.version == resource.version)
            and (self.group is None or self.group == resource.group)
        )


def find_resource(name: str, among: Iterable[Resource] | None = None) -> Resource | None:
    """Return the first resource that a kubectl-style name can mean, or `None`.

    Args:
        name: "pods", "po", "Pod", "deployments.apps", "deployments.v1.apps", ...
        among: the resources to search, the preferred first; the built-in table by default.

    Raises:
        UnknownResourceError: the name cannot be read at all.
    """
    wanted = ResourceName.parse(name)
    return next((r for r in (BUILTIN if among is None else among) if wanted.matches(r)), None)


def builtin_resource(resource: Resource | str, *, otherwise: str) -> Resource:
    """Return a resource, or the built-in one of a kubectl-style name.

    Args:
        resource: the resource or the name.
        otherwise: the way to get another resource, with `{name!r}` for its name; the error has it.

    Raises:
        UnknownResourceError: there is no built-in resource of that name.
    """
    if not isinstance(resource, str):
        return resource
    found = find_resource(resource)
    if found is None:
        msg = (
            f"{resource!r} is no built-in resource; for a custom one use `{otherwise.format(name=resource)}` "
            "or give Resource(group, version, plural, kind)"
        )
        raise UnknownResourceError(msg)
    return found


# core
BINDINGS: Final = Resource("", "v1", "bindings", "Binding", watchable=False)
COMPONENTSTATUSES: Final = Resource(
    "", "v1", "componentstatuses", "ComponentStatus", namespaced=False, short_names=("cs",), watchable=False
)
CONFIGMAPS: Final = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
ENDPOINTS: Final = Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",))
EVENTS: Final = Resource("", "v1", "events", "Event", short_names=("ev",))
LIMITRANGES: Final = Resource("", "v1", "limitranges", "LimitRange", short_names=("limits",))
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False, short_names=("ns",))
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False, short_names=("no",))
PERSISTENTVOLUMECLAIMS: Final = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",)
)
PERSISTENTVOLUMES: Final = Resource(
    "", "v1", "persistentvolumes", "PersistentVolume", namespaced=False, short_names=("pv",)
)
PODS: Final = Resource("", "v1", "pods", "Pod", short_names=("po",), in_all=True)
PODTEMPLATES: Final = Resource("", "v1", "podtemplates", "PodTemplate")
REPLICATIONCONTROLLERS: Final = Resource(
    "", "v1", "replicationcontrollers", "ReplicationController", short_names=("rc",), in_all=True
)
RESOURCEQUOTAS: Final = Resource("", "v1", "resourcequotas", "ResourceQuota", short_names=("quota",))
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
SERVICEACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",))
SERVICES: Final = Resource("", "v1", "services", "Service", short_names=("svc",), in_all=True)

# apps
CONTROLLERREVISIONS: Final = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
DAEMONSETS: Final = Resource("apps", "v1", "daemonsets", "DaemonSet", short_names=("ds",), in_all=True)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", short_names=("deploy",), in_all=True)
REPLICASETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet", short_names=("rs",), in_all=True)
STATEFULSETS: Final = Resource("apps", "v1", "statefulsets", "StatefulSet", short_names=("sts",), in_all=True)

# batch
CRONJOBS: Final = Resource("batch", "v1", "cronjobs", "CronJob", short_names=("cj",), in_all=True)
JOBS: Final = Resource("batch", "v1", "jobs", "Job", in_all=True)

# autoscaling
HORIZONTALPODAUTOSCALERS: Final = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", short_names=("hpa",), in_all=True
)
HORIZONTALPODAUTOSCALERS_V1: Final = Resource(
    "autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", short_names=("hpa",), in_all=True
)

# networking.k8s.io
INGRESSCLASSES: Final = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False)
INGRESSES: Final = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", short_names=("ing",))
IPADDRESSES: Final = Resource(
    "networking.k8s.io", "v1", "ipaddresses", "IPAddress", namespaced=False, short_names=("ip",)
)
NETWORKPOLICIES: Final = Resource(
    "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",)
)
SERVICECIDRS: Final = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)

# policy
PODDISRUPTIONBUDGETS: Final = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short_names=("pdb",)
)

# rbac.authorization.k8s.io
CLUSTERROLEBINDINGS: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CLUSTERROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
ROLEBINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")

# storage.k8s.io
CSIDRIVERS: Final = Resource("storage.k8s.io", "v1", "csidrivers", "CSIDriver", namespaced=False)
CSINODES: Final = Resource("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)
CSISTORAGECAPACITIES: Final = Resource("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity")
STORAGECLASSES: Final = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False, short_names=("sc",)
)
VOLUMEATTACHMENTS: Final = Resource("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False)
VOLUMEATTRIBUTESCLASSES: Final = Resource(
    "storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", namespaced=False, short_names=("vac",)
)

# coordination.k8s.io
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")

# discovery.k8s.io
ENDPOINTSLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")

# events.k8s.io
EVENTS_K8S_IO_EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event", short_names=("ev",))

# apiextensions.k8s.io
CUSTOMRESOURCEDEFINITIONS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
)

# admissionregistration.k8s.io
MUTATINGADMISSIONPOLICIES: Final = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False
)
MUTATINGADMISSIONPOLICYBINDINGS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
    namespaced=False,
)
MUTATINGWEBHOOKCONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATINGADMISSIONPOLICIES: Final = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
VALIDATINGADMISSIONPOLICYBINDINGS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
VALIDATINGWEBHOOKCONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)

# apiregistration.k8s.io
APISERVICES: Final = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)

# certificates.k8s.io
CERTIFICATESIGNINGREQUESTS: Final = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    namespaced=False,
    short_names=("csr",),
)
CLUSTERTRUSTBUNDLES: Final = Resource(
    "certificates.k8s.io", "v1", "clustertrustbundles", "ClusterTrustBundle", namespaced=False
)
PODCERTIFICATEREQUESTS: Final = Resource("certificates.k8s.io", "v1", "podcertificaterequests", "PodCertificateRequest")

# scheduling.k8s.io
PRIORITYCLASSES: Final = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False, short_names=("pc",)
)

# node.k8s.io
RUNTIMECLASSES: Final = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)

# resource.k8s.io
DEVICECLASSES: Final = Resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", namespaced=False)
DEVICETAINTRULES: Final = Resource("resource.k8s.io", "v1", "devicetaintrules", "DeviceTaintRule", namespaced=False)
RESOURCECLAIMS: Final = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
RESOURCECLAIMTEMPLATES: Final = Resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
RESOURCESLICES: Final = Resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False)

# storagemigration.k8s.io
STORAGEVERSIONMIGRATIONS: Final = Resource(
    "storagemigration.k8s.io", "v1", "storageversionmigrations", "StorageVersionMigration", namespaced=False
)

# flowcontrol.apiserver.k8s.io
FLOWSCHEMAS: Final = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", namespaced=False)
PRIORITYLEVELCONFIGURATIONS: Final = Resource(
    "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", namespaced=False
)

# authentication.k8s.io
SELFSUBJECTREVIEWS: Final = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False, watchable=False
)
TOKENREVIEWS: Final = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False, watchable=False
)

# authorization.k8s.io
LOCALSUBJECTACCESSREVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", watchable=False
)
SELFSUBJECTACCESSREVIEWS: Final = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
    watchable=False,
)
SELFSUBJECTRULESREVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False, watchable=False
)
SUBJECTACCESSREVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, watchable=False
)

BUILTIN: Final[tuple[Resource, ...]] = (
    BINDINGS,
    COMPONENTSTATUSES,
    CONFIGMAPS,
    ENDPOINTS,
    EVENTS,
    LIMITRANGES,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    PODTEMPLATES,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    REPLICASETS,
    STATEFULSETS,
    CRONJOBS,
    JOBS,
    HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1,
    INGRESSCLASSES,
    INGRESSES,
    IPADDRESSES,
    NETWORKPOLICIES,
    SERVICECIDRS,
    PODDISRUPTIONBUDGETS,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    ROLEBINDINGS,
    ROLES,
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    VOLUMEATTRIBUTESCLASSES,
    LEASES,
    ENDPOINTSLICES,
    EVENTS_K8S_IO_EVENTS,
    CUSTOMRESOURCEDEFINITIONS,
    MUTATINGADMISSIONPOLICIES,
    MUTATINGADMISSIONPOLICYBINDINGS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    APISERVICES,
    CERTIFICATESIGNINGREQUESTS,
    CLUSTERTRUSTBUNDLES,
    PODCERTIFICATEREQUESTS,
    PRIORITYCLASSES,
    RUNTIMECLASSES,
    DEVICECLASSES,
    DEVICETAINTRULES,
    RESOURCECLAIMS,
    RESOURCECLAIMTEMPLATES,
    RESOURCESLICES,
    STORAGEVERSIONMIGRATIONS,
    FLOWSCHEMAS,
    PRIORITYLEVELCONFIGURATIONS,
    SELFSUBJECTREVIEWS,
    TOKENREVIEWS,
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SUBJECTACCESSREVIEWS,
)
