"""The built-in resources as attributes: `factory.core.v1.pods`, `factory.apps.v1.deployments`.

Typed, so that an editor completes them and mypy knows them. A resource is named by its plural, as in URLs and RBAC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias, overload

from kinformer import resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.resources import Resource

__all__ = ["ApiGroups"]

_InformerFor: TypeAlias = "Callable[[Resource], SharedInformer]"


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

    def __init__(self, informer_for: _InformerFor) -> None:
        self.informer_for = informer_for


class _Group:
    """One API group."""

    def __init__(self, informer_for: _InformerFor) -> None:
        self._informer_for = informer_for


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


class CoreGroup(_Group):
    """The API group core."""

    @cached_property
    def v1(self) -> CoreV1:
        """core/v1."""
        return CoreV1(self._informer_for)


class AppsGroup(_Group):
    """The API group apps."""

    @cached_property
    def v1(self) -> AppsV1:
        """apps/v1."""
        return AppsV1(self._informer_for)


class BatchGroup(_Group):
    """The API group batch."""

    @cached_property
    def v1(self) -> BatchV1:
        """batch/v1."""
        return BatchV1(self._informer_for)


class AutoscalingGroup(_Group):
    """The API group autoscaling."""

    @cached_property
    def v2(self) -> AutoscalingV2:
        """autoscaling/v2."""
        return AutoscalingV2(self._informer_for)

    @cached_property
    def v1(self) -> AutoscalingV1:
        """autoscaling/v1."""
        return AutoscalingV1(self._informer_for)


class NetworkingGroup(_Group):
    """The API group networking.k8s.io."""

    @cached_property
    def v1(self) -> NetworkingV1:
        """networking.k8s.io/v1."""
        return NetworkingV1(self._informer_for)


class PolicyGroup(_Group):
    """The API group policy."""

    @cached_property
    def v1(self) -> PolicyV1:
        """policy/v1."""
        return PolicyV1(self._informer_for)


class RbacGroup(_Group):
    """The API group rbac.authorization.k8s.io."""

    @cached_property
    def v1(self) -> RbacV1:
        """rbac.authorization.k8s.io/v1."""
        return RbacV1(self._informer_for)


class StorageGroup(_Group):
    """The API group storage.k8s.io."""

    @cached_property
    def v1(self) -> StorageV1:
        """storage.k8s.io/v1."""
        return StorageV1(self._informer_for)


class CoordinationGroup(_Group):
    """The API group coordination.k8s.io."""

    @cached_property
    def v1(self) -> CoordinationV1:
        """coordination.k8s.io/v1."""
        return CoordinationV1(self._informer_for)


class DiscoveryGroup(_Group):
    """The API group discovery.k8s.io."""

    @cached_property
    def v1(self) -> DiscoveryV1:
        """discovery.k8s.io/v1."""
        return DiscoveryV1(self._informer_for)


class EventsGroup(_Group):
    """The API group events.k8s.io."""

    @cached_property
    def v1(self) -> EventsV1:
        """events.k8s.io/v1."""
        return EventsV1(self._informer_for)


class ApiextensionsGroup(_Group):
    """The API group apiextensions.k8s.io."""

    @cached_property
    def v1(self) -> ApiextensionsV1:
        """apiextensions.k8s.io/v1."""
        return ApiextensionsV1(self._informer_for)


class AdmissionregistrationGroup(_Group):
    """The API group admissionregistration.k8s.io."""

    @cached_property
    def v1(self) -> AdmissionregistrationV1:
        """admissionregistration.k8s.io/v1."""
        return AdmissionregistrationV1(self._informer_for)


class ApiregistrationGroup(_Group):
    """The API group apiregistration.k8s.io."""

    @cached_property
    def v1(self) -> ApiregistrationV1:
        """apiregistration.k8s.io/v1."""
        return ApiregistrationV1(self._informer_for)


class CertificatesGroup(_Group):
    """The API group certificates.k8s.io."""

    @cached_property
    def v1(self) -> CertificatesV1:
        """certificates.k8s.io/v1."""
        return CertificatesV1(self._informer_for)


class SchedulingGroup(_Group):
    """The API group scheduling.k8s.io."""

    @cached_property
    def v1(self) -> SchedulingV1:
        """scheduling.k8s.io/v1."""
        return SchedulingV1(self._informer_for)


class NodeGroup(_Group):
    """The API group node.k8s.io."""

    @cached_property
    def v1(self) -> NodeV1:
        """node.k8s.io/v1."""
        return NodeV1(self._informer_for)


class ResourceGroup(_Group):
    """The API group resource.k8s.io."""

    @cached_property
    def v1(self) -> ResourceV1:
        """resource.k8s.io/v1."""
        return ResourceV1(self._informer_for)


class StoragemigrationGroup(_Group):
    """The API group storagemigration.k8s.io."""

    @cached_property
    def v1(self) -> StoragemigrationV1:
        """storagemigration.k8s.io/v1."""
        return StoragemigrationV1(self._informer_for)


class FlowcontrolGroup(_Group):
    """The API group flowcontrol.apiserver.k8s.io."""

    @cached_property
    def v1(self) -> FlowcontrolV1:
        """flowcontrol.apiserver.k8s.io/v1."""
        return FlowcontrolV1(self._informer_for)


class ApiGroups(ABC):
    """The API groups of a factory."""

    @abstractmethod
    def _builtin(self, resource: Resource) -> SharedInformer:
        """The informer of a built-in resource."""

    @cached_property
    def core(self) -> CoreGroup:
        """The API group core."""
        return CoreGroup(self._builtin)

    @cached_property
    def apps(self) -> AppsGroup:
        """The API group apps."""
        return AppsGroup(self._builtin)

    @cached_property
    def batch(self) -> BatchGroup:
        """The API group batch."""
        return BatchGroup(self._builtin)

    @cached_property
    def autoscaling(self) -> AutoscalingGroup:
        """The API group autoscaling."""
        return AutoscalingGroup(self._builtin)

    @cached_property
    def networking(self) -> NetworkingGroup:
        """The API group networking.k8s.io."""
        return NetworkingGroup(self._builtin)

    @cached_property
    def policy(self) -> PolicyGroup:
        """The API group policy."""
        return PolicyGroup(self._builtin)

    @cached_property
    def rbac(self) -> RbacGroup:
        """The API group rbac.authorization.k8s.io."""
        return RbacGroup(self._builtin)

    @cached_property
    def storage(self) -> StorageGroup:
        """The API group storage.k8s.io."""
        return StorageGroup(self._builtin)

    @cached_property
    def coordination(self) -> CoordinationGroup:
        """The API group coordination.k8s.io."""
        return CoordinationGroup(self._builtin)

    @cached_property
    def discovery(self) -> DiscoveryGroup:
        """The API group discovery.k8s.io."""
        return DiscoveryGroup(self._builtin)

    @cached_property
    def events(self) -> EventsGroup:
        """The API group events.k8s.io."""
        return EventsGroup(self._builtin)

    @cached_property
    def apiextensions(self) -> ApiextensionsGroup:
        """The API group apiextensions.k8s.io."""
        return ApiextensionsGroup(self._builtin)

    @cached_property
    def admissionregistration(self) -> AdmissionregistrationGroup:
        """The API group admissionregistration.k8s.io."""
        return AdmissionregistrationGroup(self._builtin)

    @cached_property
    def apiregistration(self) -> ApiregistrationGroup:
        """The API group apiregistration.k8s.io."""
        return ApiregistrationGroup(self._builtin)

    @cached_property
    def certificates(self) -> CertificatesGroup:
        """The API group certificates.k8s.io."""
        return CertificatesGroup(self._builtin)

    @cached_property
    def scheduling(self) -> SchedulingGroup:
        """The API group scheduling.k8s.io."""
        return SchedulingGroup(self._builtin)

    @cached_property
    def node(self) -> NodeGroup:
        """The API group node.k8s.io."""
        return NodeGroup(self._builtin)

    @cached_property
    def resource(self) -> ResourceGroup:
        """The API group resource.k8s.io."""
        return ResourceGroup(self._builtin)

    @cached_property
    def storagemigration(self) -> StoragemigrationGroup:
        """The API group storagemigration.k8s.io; a server before Kubernetes 1.37 does not have it."""
        return StoragemigrationGroup(self._builtin)

    @cached_property
    def flowcontrol(self) -> FlowcontrolGroup:
        """The API group flowcontrol.apiserver.k8s.io."""
        return FlowcontrolGroup(self._builtin)
