"""The CRD that an installation applies: of classes, or of conversions."""

from __future__ import annotations

import msgspec
import pytest

from kinformer.custom_resources import Conversions, CustomResource, ObjectMeta, custom_resource
from kinformer.custom_resources._install import definition_to_install


@custom_resource(group="example.com", version="v1beta1", kind="Depot", storage=False)
class OldDepot(CustomResource, msgspec.Struct):
    metadata: ObjectMeta


@custom_resource(group="example.com", version="v1", kind="Depot")
class Depot(CustomResource, msgspec.Struct):
    metadata: ObjectMeta


def conversions() -> Conversions:
    made = Conversions(Depot)
    made.add(OldDepot)(lambda old: Depot(old.metadata))
    made.add_back(OldDepot)(lambda new: OldDepot(new.metadata))
    return made


def test_conversions_bring_all_versions_and_the_webhook() -> None:
    at = {"url": "https://example.com/convert"}
    spec = definition_to_install([conversions()], at)["spec"]
    assert {version["name"] for version in spec["versions"]} == {"v1", "v1beta1"}
    assert spec["conversion"]["webhook"]["clientConfig"] == at
    assert "conversion" not in definition_to_install([conversions()], None)["spec"]


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="give them alone"):
        definition_to_install([conversions(), Depot], None)
    with pytest.raises(ValueError, match="goes with Conversions"):
        definition_to_install([Depot], {"url": "https://example.com"})
    with pytest.raises(ValueError, match="has no function in one direction"):
        incomplete = Conversions(Depot)
        incomplete.add(OldDepot)(lambda old: Depot(old.metadata))
        definition_to_install([incomplete], None)
