"""Plans: the facts that a manager gives, and managers that cannot be deployed as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kinformer import Controller, Fleet, Manager, SharedInformerFactory
from kinformer.fleet import ClusterProfiles, Clusters, KubeconfigContexts, KubeconfigSecrets, Provider
from kinformer.manifests import OWN_NAMESPACE, UnfitManagerError
from kinformer.manifests._grants import Grant
from kinformer.operators.shard_group import ShardGroup
from kinformer.resources import CONFIGMAPS
from kinformer.webhooks import CertificateSecret, WebhookServer
from tests.unit.manifests.operators import (
    client,
    led,
    planned,
    reconcile,
    webhooks,
    with_cert_manager,
    with_own_certificate,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def test_a_led_operator_has_two_replicas_and_the_rights_of_its_parts() -> None:
    plan = planned(led(port=8081, grace=12))
    assert (plan.port, plan.grace, plan.replicas) == (8081, 12, 2)
    assert {grant for grant in plan.grants if grant.resource == "sites"} == {
        Grant("list", "example.com", "sites"),
        Grant("watch", "example.com", "sites"),
    }
    assert {grant.verb for grant in plan.grants if grant.namespace == OWN_NAMESPACE} == {
        "get", "watch", "create", "update"
    }  # fmt: skip
    assert any("no recorded Roles" in notice for notice in plan.notices)


async def test_an_operator_without_leases_has_one_replica() -> None:
    manager = Manager(host="0.0.0.0").add(SharedInformerFactory(client()))
    assert planned(manager).replicas == 1


async def test_the_group_of_a_controller_counts_although_it_is_no_part_itself() -> None:
    group = ShardGroup(client(), "sites", namespace="shards", by="uid")
    plan = planned(Manager(host="0.0.0.0").add(Controller("sites", reconcile, shards=group)))
    assert (plan.replicas, plan.shards) == (2, True)
    assert {grant.namespace for grant in plan.grants if grant.resource == "leases"} == {"shards"}


async def test_a_fleet_needs_the_rights_of_its_provider() -> None:
    class FromConfigMaps:
        reads: ClassVar = {CONFIGMAPS: ""}

        async def clusters(self) -> AsyncIterator[Clusters]:
            yield {}

    def read_by(provider: Provider) -> set[Grant]:
        plan = planned(Manager(host="0.0.0.0").add(Fleet(provider)))
        assert any("rights there" in notice for notice in plan.notices)
        assert {grant.verb for grant in plan.grants} <= {"list", "watch"}
        return {grant for grant in plan.grants if grant.verb == "watch"}

    secrets = Grant("watch", "", "secrets", "clusters")
    profiles = Grant("watch", "multicluster.x-k8s.io", "clusterprofiles", "clusters")
    assert read_by(KubeconfigSecrets(client(), "clusters")) == {secrets}
    assert read_by(ClusterProfiles(client(), "clusters", consumer="me")) == {secrets, profiles}
    assert read_by(ClusterProfiles(client(), "clusters", access={})) == {profiles}
    assert read_by(FromConfigMaps()) == {Grant("watch", "", "configmaps")}
    assert read_by(KubeconfigContexts()) == set()


async def test_recorded_rights_are_added_and_those_of_the_tests_namespace_are_the_operators() -> None:
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}]
    recorded: list[dict[str, Any]] = [
        {"kind": "Role", "metadata": {"name": "x", "namespace": "default"}, "rules": rules},
        {"kind": "Role", "metadata": {"name": "x", "namespace": "other"}, "rules": rules},
        {"kind": "Namespace"},
    ]
    plan = planned(led(), recorded)
    places = {grant.namespace for grant in plan.grants if grant.resource == "deployments"}
    assert places == {OWN_NAMESPACE, "other"}
    assert plan.notices == ()


async def test_a_right_on_all_secrets_is_pointed_out() -> None:
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    plan = planned(led(), [{"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": rules}])
    assert plan.notices == ("the ClusterRole grants get on all Secrets of the cluster",)


async def test_a_recorded_rule_that_would_get_lost_is_refused() -> None:
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    with pytest.raises(UnfitManagerError, match="nonResourceURLs"):
        planned(led(), [{"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": rules}])


async def test_a_certificate_of_its_own_needs_rights_on_single_objects() -> None:
    plan = planned(with_own_certificate())
    assert Grant("update", "", "secrets", OWN_NAMESPACE, ("site-operator-tls",)) in plan.grants
    group = "admissionregistration.k8s.io"
    assert Grant("get", group, "validatingwebhookconfigurations", "", ("site-operator",)) in plan.grants
    assert plan.webhooks is not None
    assert plan.webhooks.mount == ""


async def test_a_certificate_in_files_is_one_of_cert_manager() -> None:
    plan = planned(with_cert_manager())
    assert plan.webhooks is not None
    assert plan.webhooks.mount == "/certs"
    (configuration,) = plan.webhooks.configurations
    inject = {"cert-manager.io/inject-ca-from": f"{OWN_NAMESPACE}/site-operator-webhooks"}
    assert configuration["metadata"]["annotations"] == inject
    assert not [grant for grant in plan.grants if grant.resource == "secrets"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_probes_on_loopback_are_refused(host: str) -> None:
    with pytest.raises(UnfitManagerError, match=r'write Manager\(host="0\.0\.0\.0"\)'):
        planned(led(host=host))


async def test_a_port_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnfitManagerError, match=r"write Manager\(port="):
        planned(led(port=0))


async def test_a_manager_without_a_server_has_no_probes_and_says_so() -> None:
    plan = planned(led(host=""), [])
    assert plan.port == 0
    assert "no probes" in plan.notices[0]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("/certs/server.crt", "/certs/server.key"), "tls.crt and tls.key in one folder"),
        (("/a/tls.crt", "/b/tls.key"), "tls.crt and tls.key in one folder"),
        (("certs/tls.crt", "certs/tls.key"), "no folder of the container"),
        (("/tls.crt", "/tls.key"), "no folder of the container"),
    ],
)
async def test_files_that_no_secret_can_be_mounted_at_are_refused(files: tuple[str, str], reason: str) -> None:
    with pytest.raises(UnfitManagerError, match=reason):
        planned(with_cert_manager(*files))


async def test_webhooks_need_one_server_that_is_reachable_through_a_service() -> None:
    secret = CertificateSecret(client(), "a", "b", hosts=["example.com"])
    with pytest.raises(UnfitManagerError, match="need a Service"):
        planned(led().add(WebhookServer(webhooks(), secret, host="0.0.0.0")))
    with pytest.raises(UnfitManagerError, match=r'WebhookServer\(host="0\.0\.0\.0"\)'):
        planned(led().add(WebhookServer(webhooks(), secret)))
    with pytest.raises(UnfitManagerError, match="several webhook servers"):
        planned(with_cert_manager().add(WebhookServer(webhooks(), secret, host="0.0.0.0")))
