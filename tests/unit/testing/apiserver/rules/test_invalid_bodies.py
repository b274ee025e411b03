"""What a real server refuses is refused here, for the same fields; and what it takes is taken."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kinformer.testing._apiserver.rules.validation import validate
from kinformer.testing._apiserver.rules.writing import Write
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.status import Refusal
from tests.apiserver.invalid_bodies import Case, answers, cases, titles

CATALOG = Catalog()
RECORDED = answers()

CEL = "the names and types in expressions of CEL are not checked before they are evaluated"
ADMISSION = "admission sees a name that is not there yet, and makes one"
OTHER = {
    "ValidatingWebhookConfiguration: webhooks.0.matchConditions.0.expression": CEL,
    "ValidatingAdmissionPolicy: spec.validations.0.messageExpression": CEL,
    "ValidatingAdmissionPolicy: spec.variables.0.expression": CEL,
    "ValidatingAdmissionPolicy: spec.matchConditions.0.expression": CEL,
    'LimitRange: metadata.name ""': ADMISSION,
    'StorageClass: reclaimPolicy ""': "an empty text counts as absent",
    "events.k8s.io/v1 Event: regarding.namespace": "an Event of the newer form may be of another namespace",
}
"""The cases with another answer here, each with the reason; a part of the title is enough."""


def answer(case: Case) -> list[Any]:
    """The code and the fields of the causes, of a body that is judged and not stored."""
    group, _, version = case.body["apiVersion"].rpartition("/")
    kind = CATALOG.lookup(group, version, case.path.rpartition("/")[2])
    assert kind is not None
    try:
        manifest = Write(dry_run=True).checked(kind, deepcopy(case.body), "default")
        if kind.namespaced:
            manifest["metadata"]["namespace"] = "default"
        validate(kind, manifest)
    except Refusal as refusal:
        causes = (refusal.details or {}).get("causes") or []
        return [refusal.code, sorted({cause["field"] for cause in causes if "field" in cause})]
    return [201, []]


@pytest.mark.parametrize("of", titles())
def test_invalid_bodies_are_refused_as_by_a_real_server(of: str) -> None:
    told = {
        case.title: (RECORDED[case.title], answer(case))
        for case in cases()
        if case.of == of and not any(part in case.title for part in OTHER)
    }
    taken = [title for title, (real, ours) in told.items() if ours[0] < 300 <= real[0]]
    refused = [title for title, (real, ours) in told.items() if real[0] < 300 <= ours[0]]
    assert (taken, refused) == ([], [])


def test_nearly_all_refusals_name_the_same_fields() -> None:
    same = sum(RECORDED[case.title] == answer(case) for case in cases())
    assert same >= 1_924, f"{same} of {len(cases())}"
