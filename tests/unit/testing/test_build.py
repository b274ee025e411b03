"""The manifests of the builders are taken by the server as they are, and equal those written by hand."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kinformer.testing import ApiServer, build

MADE = {
    "pod": build.pod("web-0", node="node-1", owner=None),
    "deployment": build.deployment("web", replicas=3),
    "job": build.job("once", completions=2),
    "config_map": build.config_map("settings", data={"a": "1"}),
    "secret": build.secret("password", data={"text": "x", "bytes": b"\x00"}),
    "service": build.service("web", port=8080, target_port="http"),
    "node": build.node("node-1", ready=False),
    "namespace": build.namespace("shop", labels={"team": "a"}),
    "definition": build.custom_resource_definition("widgets", "Widget", short_names=["wd"]),
}


@pytest.mark.parametrize("manifest", MADE.values(), ids=MADE)
def test_the_server_takes_it_and_changes_nothing_that_was_said(manifest: dict[str, Any]) -> None:
    made = ApiServer().create(manifest)
    for part in ("metadata", "spec", "data", "type"):
        _is_within(manifest.get(part, {}), made.get(part, {}))


def _is_within(wanted: Any, found: Any) -> None:
    """Report whether everything wanted is there; servers fill in more."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            _is_within(value, found[name])
    elif isinstance(wanted, list):
        assert len(wanted) == len(found)
        for one, other in zip(wanted, found, strict=True):
            _is_within(one, other)
    else:
        assert wanted == found


def test_the_values_of_a_secret_are_encoded() -> None:
    assert build.secret("s", data={"a": "text", "b": b"\xff"})["data"] == {
        "a": base64.b64encode(b"text").decode(),
        "b": base64.b64encode(b"\xff").decode(),
    }


def test_a_custom_resource_goes_where_its_definition_says() -> None:
    server = ApiServer()
    server.create(build.custom_resource_definition("widgets", "Widget"))
    server.create(build.custom_resource_definition("clouds", "Cloud", namespaced=False))
    server.create(build.custom_resource("example.com/v1", "Widget", "a", spec={"size": 3}))
    server.create(build.custom_resource("example.com/v1", "Cloud", "b", namespace=""))
    assert server.get("example.com/v1", "Widget", "a")["spec"] == {"size": 3}
    assert "namespace" not in server.get("example.com/v1", "Cloud", "b")["metadata"]


def test_labels_select_what_belongs_together() -> None:
    deployment = build.deployment("web", labels={"tier": "front"})
    labels = {"app": "web", "tier": "front"}
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    assert build.service("web")["spec"]["selector"].items() <= labels.items()
    assert build.pod("web-0", labels={"app": "web"})["metadata"]["labels"] == {"app": "web"}


def test_an_owner_must_have_been_created() -> None:
    server = ApiServer()
    owner = build.deployment("web")
    with pytest.raises(ValueError, match="Deployment 'web' has no uid"):
        build.pod("web-0", owner=owner)
    created = server.create(owner)
    pod = server.create(build.pod("web-0", owner=created))
    (reference,) = pod["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (created["metadata"]["uid"], True)
    server.delete("apps/v1", "Deployment", "web")
    assert server.list("v1", "Pod") == []  # the server's garbage collection took it along


def test_what_is_given_is_merged_over_what_is_made() -> None:
    more = {"containers": [{"name": "x", "image": "x:1"}], "nodeSelector": {"a": "b"}}
    pod = build.pod("web-0", spec=more, metadata={"finalizers": ["example.com/hold"]}, status={"phase": "Failed"})
    assert pod["spec"] == more
    assert pod["metadata"]["finalizers"] == ["example.com/hold"]
    assert pod["status"] == {"phase": "Failed"}
    deep = build.deployment("web", spec={"template": {"spec": {"nodeName": "n"}}})
    assert set(deep["spec"]["template"]["spec"]) == {"containers", "nodeName"}


def test_a_running_pod_is_ready() -> None:
    server = ApiServer()
    server.create(build.pod("web-0"))
    made = server.update(build.pod("web-0", phase="Running"), subresource="status")
    assert made["status"]["phase"] == "Running"
    (ready,) = made["status"]["conditions"]
    assert (ready["type"], ready["status"]) == ("Ready", "True")


def test_what_is_made_is_the_caller_s_own() -> None:
    labels = {"app": "x"}
    first, second = build.pod("a", labels=labels), build.pod("a", labels=labels)
    first["metadata"]["labels"]["app"] = "changed"
    assert second["metadata"]["labels"] == labels == {"app": "x"}
