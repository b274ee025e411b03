"""Manifests of an operator, made from its `Manager`: `kinformer manifests`.

_plan      the facts: probes, webhooks, leases, rights    _objects   the facts as Kubernetes objects
_grants    rights of RBAC, and Roles made of them         _files     plain YAML with kustomize, the overlay
_folder    compares files with a folder, and writes them  _chart     the same objects as a Helm chart
_project   the files of a new operator (kinformer init)   template/  their texts
"""

from __future__ import annotations

from kinformer.manifests._files import files_of
from kinformer.manifests._folder import Change, compare, write
from kinformer.manifests._plan import OWN_NAMESPACE, Plan, UnfitManagerError, plan_of
from kinformer.manifests._project import NewProject, UnfitNameError

__all__ = [
    "OWN_NAMESPACE",
    "Change",
    "NewProject",
    "Plan",
    "UnfitManagerError",
    "UnfitNameError",
    "compare",
    "files_of",
    "plan_of",
    "write",
]
