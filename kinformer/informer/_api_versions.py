"""The resources of each version of the API groups, as attributes: `pods` of core/v1, `deployments` of apps/v1.

Typed, so that an editor completes them and mypy knows them. A resource is named by its plural, as in URLs and RBAC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias, overload

from kinformer import resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.resources import Resource

__all__ = [
    "AdmissionregistrationV1",
    "ApiextensionsV1",
    "ApiregistrationV1",
    "AppsV1",
    "AutoscalingV1",
    "AutoscalingV2",
    "BatchV1",
    "CertificatesV1",
    "CoordinationV1",
    "CoreV1",
    "DiscoveryV1",
    "EventsV1",
    "FlowcontrolV1",
    "InformerFor",
    "NetworkingV1",
    "NodeV1",
    "PolicyV1",
    "RbacV1",
    "ResourceV1",
    "SchedulingV1",
    "StorageV1",
    "StoragemigrationV1",
]

InformerFor: TypeAlias = "Callable[[Resource], SharedInformer]"


class _Accessor:
    """Descriptor of a resource. Read through a factory, it gives the informer; read on the class, itself."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.__doc__ = f"The informer of {resource.full_name}, the same one each time."

    @overload
    def __get__(self, version: None, owner: type[_Version]) -> Self: ...
    @overload
    def __get__(self, version: _Version, owner: type[_Version]) -> SharedInformer: ...
    def __get__(self, version: _Version | None, owner: type[_Version]) -> SharedInformer | Self:
        return self if version is None else version.informer_for(self.resource)


class _Version:
    """One version of one API group."""

    def __init__(self, informer_for: InformerFor) -> None:
        self.informer_for = informer_for


class CoreV1(_Version):
    """core/v1."""

    configmaps = _Accessor(resources.CONFIGMAPS)
    endpoints = _Accessor(resources.ENDPOINTS)
    events = _Accessor(resources.EVENTS)
    limitranges = _Accessor(resources.LIMITRANGES)
    namespaces = _Accessor(resources.NAMESPACES)
    nodes = _Accessor(resources.NODES)
    persistentvolumeclaims = _Accessor(resources.PERSISTENTVOLUMECLAIMS)
    persistentvolumes = _Accessor(resources.PERSISTENTVOLUMES)
    pods = _Accessor(resources.PODS)
    podtemplates = _Accessor(resources.PODTEMPLATES)
    replicationcontrollers = _Accessor(resources.REPLICATIONCONTROLLERS)
    resourcequotas = _Accessor(resources.RESOURCEQUOTAS)
    secrets = _Accessor(resources.SECRETS)
    serviceaccounts = _Accessor(resources.SERVICEACCOUNTS)
    services = _Accessor(resources.SERVICES)


class AppsV1(_Version):
    """apps/v1."""

    controllerrevisions = _Accessor(resources.CONTROLLERREVISIONS)
    daemonsets = _Accessor(resources.DAEMONSETS)
    deployments = _Accessor(resources.DEPLOYMENTS)
    replicasets = _Accessor(resources.REPLICASETS)
    statefulsets = _Accessor(resources.STATEFULSETS)


class BatchV1(_Version):
    """batch/v1."""

    cronjobs = _Accessor(resources.CRONJOBS)
    jobs = _Accessor(resources.JOBS)


class AutoscalingV2(_Version):
    """autoscaling/v2."""

    horizontalpodautoscalers = _Accessor(resources.HORIZONTALPODAUTOSCALERS)


class AutoscalingV1(_Version):
    """autoscaling/v1."""

    horizontalpodautoscalers = _Accessor(resources.HORIZONTALPODAUTOSCALERS_V1)


class NetworkingV1(_Version):
    """networking.k8s.io/v1."""

    ingressclasses = _Accessor(resources.INGRESSCLASSES)
    ingresses = _Accessor(resources.INGRESSES)
    ipaddresses = _Accessor(resources.IPADDRESSES)
    networkpolicies = _Accessor(resources.NETWORKPOLICIES)
    servicecidrs = _Accessor(resources.SERVICECIDRS)


class PolicyV1(_Version):
    """policy/v1."""

    poddisruptionbudgets = _Accessor(resources.PODDISRUPTIONBUDGETS)


class RbacV1(_Version):
    """rbac.authorization.k8s.io/v1."""

    clusterrolebindings = _Accessor(resources.CLUSTERROLEBINDINGS)
    clusterroles = _Accessor(resources.CLUSTERROLES)
    rolebindings = _Accessor(resources.ROLEBINDINGS)
    roles = _Accessor(resources.ROLES)


class StorageV1(_Version):
    """storage.k8s.io/v1."""

    csidrivers = _Accessor(resources.CSIDRIVERS)
    csinodes = _Accessor(resources.CSINODES)
    csistoragecapacities = _Accessor(resources.CSISTORAGECAPACITIES)
    storageclasses = _Accessor(resources.STORAGECLASSES)
    volumeattachments = _Accessor(resources.VOLUMEATTACHMENTS)
    volumeattributesclasses = _Accessor(resources.VOLUMEATTRIBUTESCLASSES)


class CoordinationV1(_Version):
    """coordination.k8s.io/v1."""

    leases = _Accessor(resources.LEASES)


class DiscoveryV1(_Version):
    """discovery.k8s.io/v1."""

    endpointslices = _Accessor(resources.ENDPOINTSLICES)


class EventsV1(_Version):
    """events.k8s.io/v1."""

    events = _Accessor(resources.EVENTS_K8S_IO_EVENTS)


class ApiextensionsV1(_Version):
    """apiextensions.k8s.io/v1."""

    customresourcedefinitions = _Accessor(resources.CUSTOMRESOURCEDEFINITIONS)


class AdmissionregistrationV1(_Version):
    """admissionregistration.k8s.io/v1."""

    mutatingadmissionpolicies = _Accessor(resources.MUTATINGADMISSIONPOLICIES)
    mutatingadmissionpolicybindings = _Accessor(resources.MUTATINGADMISSIONPOLICYBINDINGS)
    mutatingwebhookconfigurations = _Accessor(resources.MUTATINGWEBHOOKCONFIGURATIONS)
    validatingadmissionpolicies = _Accessor(resources.VALIDATINGADMISSIONPOLICIES)
    validatingadmissionpolicybindings = _Accessor(resources.VALIDATINGADMISSIONPOLICYBINDINGS)
    validatingwebhookconfigurations = _Accessor(resources.VALIDATINGWEBHOOKCONFIGURATIONS)


class ApiregistrationV1(_Version):
    """apiregistration.k8s.io/v1."""

    apiservices = _Accessor(resources.APISERVICES)


class CertificatesV1(_Version):
    """certificates.k8s.io/v1."""

    certificatesigningrequests = _Accessor(resources.CERTIFICATESIGNINGREQUESTS)
    clustertrustbundles = _Accessor(resources.CLUSTERTRUSTBUNDLES)
    podcertificaterequests = _Accessor(resources.PODCERTIFICATEREQUESTS)


class SchedulingV1(_Version):
    """scheduling.k8s.io/v1."""

    priorityclasses = _Accessor(resources.PRIORITYCLASSES)


class NodeV1(_Version):
    """node.k8s.io/v1."""

    runtimeclasses = _Accessor(resources.RUNTIMECLASSES)


class ResourceV1(_Version):
    """resource.k8s.io/v1."""

    deviceclasses = _Accessor(resources.DEVICECLASSES)
    devicetaintrules = _Accessor(resources.DEVICETAINTRULES)
    resourceclaims = _Accessor(resources.RESOURCECLAIMS)
    resourceclaimtemplates = _Accessor(resources.RESOURCECLAIMTEMPLATES)
    resourceslices = _Accessor(resources.RESOURCESLICES)


class StoragemigrationV1(_Version):
    """storagemigration.k8s.io/v1."""

    storageversionmigrations = _Accessor(resources.STORAGEVERSIONMIGRATIONS)


class FlowcontrolV1(_Version):
    """flowcontrol.apiserver.k8s.io/v1."""

    flowschemas = _Accessor(resources.FLOWSCHEMAS)
    prioritylevelconfigurations = _Accessor(resources.PRIORITYLEVELCONFIGURATIONS)
