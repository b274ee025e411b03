"""Paths are read in kubectl's spelling and in dots; a text that is no path is refused with the remedy."""

from __future__ import annotations

import pytest

from kinformer._paths import steps_of
from kinformer.objects import KubeObject
from kinformer.resources import PODS

POD = KubeObject.from_dict(
    {
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app.kubernetes.io/name": "web", "tier": "front"}},
        "spec": {"containers": [{"image": "i:1", "args": ["a", "b"]}]},
        "status": {"phase": "Running"},
    },
    PODS,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.containers[0].image", "i:1"),
        ("spec.containers.0.image", "i:1"),
        ("spec.containers[0].args[1]", "b"),
        ("spec.containers[-1].image", "i:1"),
        ('metadata.labels["app.kubernetes.io/name"]', "web"),
        ("metadata.labels['app.kubernetes.io/name']", "web"),
        ("metadata.labels.tier", "front"),
        ("spec.containers[1].image", None),
        ("status.phase", "Running"),
    ],
)
def test_both_spellings_find_the_value(path: str, value: object) -> None:
    assert POD.at(path) == value


@pytest.mark.parametrize(
    "path", ["", "spec..x", "spec.", ".", "spec.containers[", "spec.containers[x]", "a]b", "[0", "spec[0]x"]
)
def test_a_text_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        POD.at(path)


def test_a_name_with_a_slash_has_to_be_quoted() -> None:
    with pytest.raises(ValueError, match=r"metadata\.labels\[\"app\.kubernetes\.io/name\"\]"):
        POD.at("metadata.labels.app.kubernetes.io/name")


def test_a_quoted_name_may_have_any_character() -> None:
    assert steps_of('data["a b.c[0]"].d') == ("data", "a b.c[0]", "d")
