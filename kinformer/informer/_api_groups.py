"""The built-in resources as attributes: `factory.core.v1.pods`, `factory.apps.v1.deployments`.

Here are the groups, and the versions of each; `_api_versions` has the resources of a version.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from kinformer.informer._api_versions import (
    AdmissionregistrationV1,
    ApiextensionsV1,
    ApiregistrationV1,
    AppsV1,
    AutoscalingV1,
    AutoscalingV2,
    BatchV1,
    CertificatesV1,
    CoordinationV1,
    CoreV1,
    DiscoveryV1,
    EventsV1,
    FlowcontrolV1,
    NetworkingV1,
    NodeV1,
    PolicyV1,
    RbacV1,
    ResourceV1,
    SchedulingV1,
    StoragemigrationV1,
    StorageV1,
)

if TYPE_CHECKING:
    from kinformer.informer._api_versions import InformerFor
    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.resources import Resource

__all__ = ["ApiGroups"]


class _Group:
    """One API group."""

    def __init__(self, informer_for: InformerFor) -> None:
        self._informer_for = informer_for


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
