"""The table that Jupyter shows for a lister: bounded, escaped, and without the data of Secrets."""

from __future__ import annotations

import pytest

from kinformer.cache.lister import Lister
from kinformer.objects import KubeObject
from kinformer.resources import PODS, SECRETS
from tests import storages
from tests.sources import pod

pytestmark = pytest.mark.usefixtures("storage")


def test_a_notebook_shows_a_bounded_table_of_escaped_heads() -> None:
    pods = [pod(f"web-{number}", labels={"app": "<b>" + "x" * 200}) for number in range(50)]
    indexer = storages.indexer({})
    for obj in pods:
        indexer.put(obj.key, obj)
    lister = Lister(indexer, PODS)
    shown = lister._repr_html_()
    assert "pods.v1: 50 objects, the first 20 of them" in shown
    assert shown.count("<td>web-") == 20
    assert "<b>" not in shown
    assert "x" * 100 not in shown


def test_a_notebook_shows_no_data_and_no_annotation_of_a_secret() -> None:
    manifest = {
        "metadata": {"name": "db", "namespace": "shop", "annotations": {"last-applied": "aGlkZGVu"}},
        "data": {"password": "aGlkZGVu"},
    }
    indexer = storages.indexer({})
    secret = KubeObject.from_dict(manifest, SECRETS)
    indexer.put(secret.key, secret)
    shown = Lister(indexer, SECRETS, synced=lambda: False)._repr_html_()
    assert "<td>db</td>" in shown
    assert "aGlkZGVu" not in shown
    assert "password" not in shown
