"""Custom resources from classes: schema, manifest, installation.

definition       custom_resource, crd                 compatibility    does a new CRD break stored objects?
markers          rules, lists, columns                metadata         ObjectMeta
conversion       Conversions between versions         conditions       Condition, for status.conditions
_schema          from a type to a structural schema   _classes         the fields of a class
_patterns        regular expressions that Go can read _install         applies a CRD
_migration       stores all objects in one version
"""

from __future__ import annotations

from kinformer.custom_resources._migration import migrate_storage
from kinformer.custom_resources.compatibility import Incompatibility, incompatibilities
from kinformer.custom_resources.conditions import Condition, Conditions
from kinformer.custom_resources.conversion import Conversions
from kinformer.custom_resources.definition import (
    CustomResource,
    crd,
    custom_resource,
    is_custom_resource,
    manifest_of,
    resource_of,
)
from kinformer.custom_resources.markers import (
    Column,
    EmbeddedResource,
    FieldCount,
    Format,
    ListType,
    MapType,
    PreserveUnknownFields,
    Quantity,
    Rule,
    Scale,
    at_most_one_of,
    exactly_one_of,
)
from kinformer.custom_resources.metadata import ObjectMeta

__all__ = [
    "Column",
    "Condition",
    "Conditions",
    "Conversions",
    "CustomResource",
    "EmbeddedResource",
    "FieldCount",
    "Format",
    "Incompatibility",
    "ListType",
    "MapType",
    "ObjectMeta",
    "PreserveUnknownFields",
    "Quantity",
    "Rule",
    "Scale",
    "at_most_one_of",
    "crd",
    "custom_resource",
    "exactly_one_of",
    "incompatibilities",
    "is_custom_resource",
    "manifest_of",
    "migrate_storage",
    "resource_of",
]
