"""Objects that the embedded server refuses, and its words."""

from __future__ import annotations

import copy
from typing import Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.rules.bodies import check_object
from kinformer.testing._apiserver.rules.pod_validation import check_pod_spec
from kinformer.testing._apiserver.rules.validation import prune, validate
from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType


def built_in(plural: str, group: str = "", version: str = "v1") -> ResourceType:
    found = Catalog().lookup(group, version, plural)
    assert found is not None
    return found


def custom(schema: dict[str, Any]) -> ResourceType:
    (found,) = Catalog().add_crd(
        {
            "metadata": {"name": "widgets.x.io"},
            "spec": {
                "group": "x.io",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}}],
            },
        }
    )
    return found


def test_a_container_of_a_stateful_set_mounts_a_volume_that_a_claim_template_makes() -> None:
    server = ApiServer()
    pod = {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod},
        "volumeClaimTemplates": [claim | {"metadata": {"name": "data"}}],
    }
    stateful_set = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": spec}
    server.create(stateful_set)
    spec["volumeClaimTemplates"] = [claim | {"metadata": {"name": "other"}}]
    with pytest.raises(Refusal, match=r'volumeMounts\[0\].name: Not found: "data"'):
        server.create(stateful_set | {"metadata": {"name": "t"}})


def of_spec(**properties: Any) -> ResourceType:
    return custom({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def widget(spec: Any) -> dict[str, Any]:
    return {"kind": "Widget", "apiVersion": "x.io/v1", "metadata": {"name": "w"}, "spec": spec}


def causes(kind: ResourceType, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(reason, message, field) of each cause; none when it passes."""
    refusal: Refusal | None = None
    try:
        validate(kind, manifest)
    except Refusal as error:
        refusal = error
    if refusal is None:
        return []
    assert refusal.code == 422
    assert refusal.details is not None
    return [(c["reason"], c["message"], c["field"]) for c in refusal.details["causes"]]


POD = built_in("pods")
CONTAINER = {"name": "c", "image": "i"}


def pod(**metadata: Any) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [CONTAINER]}}


# Bodies


def test_a_body_may_leave_out_its_kind_and_version_and_gets_those_of_the_path() -> None:
    body = {"metadata": {"name": "p"}, "spec": {}}
    assert check_object(POD, body, "ns") == {"kind": "Pod", "apiVersion": "v1", **body}


def test_a_body_is_not_changed_by_what_is_done_to_the_manifest() -> None:
    body = pod(name="p")
    check_object(POD, body, "ns")["metadata"]["name"] = "changed"
    assert body["metadata"]["name"] == "p"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("not an object", "the object provided is unrecognized (must be of type Pod): couldn't get version/kind"),
        ([], "cannot unmarshal array into Go value"),
        (5, "cannot unmarshal number into Go value"),
        (True, "cannot unmarshal bool into Go value"),
        (
            {"apiVersion": "v2"},
            'Pod in version "v2" cannot be handled as a Pod: no kind "Pod" is registered for version "v2"',
        ),
        ({"kind": "Node"}, 'Node in version "v1" cannot be handled as a Pod'),
        ({"metadata": "x"}, "cannot be handled as a Pod"),
        (
            {"metadata": {"namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({"metadata": {"name": 5}}, "ObjectMeta.metadata.name of type string"),
        ({"metadata": {"generateName": ["x"]}}, "ObjectMeta.metadata.generateName of type string"),
        ({"metadata": {"labels": ["x"]}}, "ObjectMeta.metadata.labels of type map[string]string"),
        ({"metadata": {"annotations": "x"}}, "ObjectMeta.metadata.annotations of type map[string]string"),
        ({"metadata": {"labels": {"a": 5}}}, "ObjectMeta.metadata.labels of type string"),
        ({"metadata": {"annotations": {"a": None, "b": True}}}, "ObjectMeta.metadata.annotations of type string"),
        ({"metadata": {"finalizers": "x.io/a"}}, "ObjectMeta.metadata.finalizers of type []string"),
        ({"metadata": {"ownerReferences": [5]}}, "ObjectMeta.metadata.ownerReferences of type v1.OwnerReference"),
    ],
)
def test_a_body_of_the_wrong_shape_is_400_and_says_what_is_wrong(body: Any, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_object(POD, body, "ns")
    assert (refused.value.code, refused.value.reason) == (400, "BadRequest")
    assert message in refused.value.message


def test_nulls_stand_for_what_is_left_out() -> None:
    nulls = dict.fromkeys(("labels", "annotations", "finalizers", "ownerReferences", "generateName", "namespace"))
    check_object(POD, {"metadata": nulls | {"name": "p"}}, "ns")


# Names and labels


@pytest.mark.parametrize("name", ["a", "web-0", "a.b-c.d", "0", "a" * 253])
def test_a_name_is_a_dns_subdomain(name: str) -> None:
    assert causes(POD, pod(name=name)) == []


@pytest.mark.parametrize("name", ["Bad_Name", "-a", "a-", "a..b", "a b", "a/b", "ä", "a\n", "a" * 254])
def test_any_other_name_is_refused(name: str) -> None:
    ((reason, message, field),) = causes(POD, pod(name=name))
    assert (reason, field) == ("FieldValueInvalid", "metadata.name")
    assert message.startswith(f'Invalid value: "{name}": ')


def test_a_name_or_a_prefix_is_required() -> None:
    assert causes(POD, pod()) == [
        ("FieldValueRequired", "Required value: name or generateName is required", "metadata.name"),
    ]


def test_a_reference_to_an_owner_says_which_one() -> None:
    found = causes(POD, pod(name="p", ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "n"}]))
    assert found == [("FieldValueInvalid", 'Invalid value: "": must not be empty', "metadata.ownerReferences.uid")]


def test_names_of_roles_are_free() -> None:
    assert causes(built_in("clusterroles", "rbac.authorization.k8s.io"), {"metadata": {"name": "system:node"}}) == []


@pytest.mark.parametrize("value", ["", "a", "A_b.c-1", "x" * 63])
def test_a_label_value_is_short_and_plain(value: str) -> None:
    assert causes(POD, pod(name="p", labels={"l": value})) == []


@pytest.mark.parametrize("value", ["-a", "a-", "a b", "a/b", "x" * 64, "a\n"])
def test_any_other_label_value_is_refused(value: str) -> None:
    ((reason, _, field),) = causes(POD, pod(name="p", labels={"l": value}))
    assert (reason, field) == ("FieldValueInvalid", "metadata.labels")


# Pods and workloads


def test_all_causes_are_told_at_once_in_the_words_of_a_kube_apiserver() -> None:
    with pytest.raises(Refusal) as refused:
        validate(POD, {"metadata": {"name": "Bad_Name"}, "spec": {"containers": []}})
    # create-invalid.json
    assert refused.value.message.startswith('Pod "Bad_Name" is invalid: [metadata.name: Invalid value: "Bad_Name": ')
    assert refused.value.message.endswith("spec.containers: Required value]")
    assert refused.value.details is not None
    assert (refused.value.details["name"], refused.value.details["kind"]) == ("Bad_Name", "Pod")
    assert [cause["field"] for cause in refused.value.details["causes"]] == ["metadata.name", "spec.containers"]


@pytest.mark.parametrize("spec", [None, {}, {"containers": None}])
def test_a_pod_has_containers(spec: Any) -> None:
    assert [field for *_, field in causes(POD, {"metadata": {"name": "p"}, "spec": spec})] == ["spec.containers"]


def test_a_container_has_a_name_and_an_image() -> None:
    containers = [CONTAINER, {"name": "d"}, {"image": "i"}]
    found = causes(POD, {"metadata": {"name": "p"}, "spec": {"containers": containers}})
    assert [field for *_, field in found] == ["spec.containers[1].image", "spec.containers[2].name"]


@pytest.mark.parametrize("spec", ["text", {"containers": "text"}, {"containers": ["text"]}, {"containers": {"a": 1}}])
def test_a_pod_of_the_wrong_shape_is_400(spec: Any) -> None:
    with pytest.raises(Refusal, match="cannot be handled as a Pod") as refused:
        check_object(POD, {"metadata": {"name": "p"}, "spec": spec}, "ns")
    assert refused.value.code == 400


def deployment(selector: Any, labels: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    return {"metadata": {"name": "d"}, "spec": {"selector": selector, "template": template}}


def test_a_workload_selects_its_own_pods() -> None:
    kind = built_in("deployments", "apps")
    assert causes(kind, deployment({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"})) == []
    assert causes(kind, deployment({"matchLabels": {"a": "1"}}, {"b": "2"})) == [
        (
            "FieldValueInvalid",
            'Invalid value: {"b":"2"}: `selector` does not match template `labels`',
            "spec.template.metadata.labels",
        ),
    ]
    fields = [field for *_, field in causes(kind, deployment(None, {"a": "1"}))]
    assert fields == ["spec.selector", "spec.template.metadata.labels"]


def test_a_workload_without_a_spec_says_all_it_needs() -> None:
    fields = [field for *_, field in causes(built_in("statefulsets", "apps"), {"metadata": {"name": "s"}})]
    assert fields == ["spec.selector", "spec.template.metadata.labels", "spec.template.spec.containers"]


# Custom resources


@pytest.mark.parametrize(
    ("schema", "good", "bad", "message"),
    [
        ({"type": "string"}, "x", 5, 'Invalid value: "integer": spec.it in body must be of type string: "integer"'),
        ({"type": "string"}, "", None, 'Invalid value: "null": spec.it in body must be of type string: "null"'),
        ({"type": "integer"}, 5.0, "5", 'Invalid value: "string": spec.it in body must be of type integer: "string"'),
        ({"type": "integer"}, 0, True, 'Invalid value: "boolean": spec.it in body must be of type integer: "boolean"'),
        ({"type": "number"}, 5, "5", 'Invalid value: "string": spec.it in body must be of type number: "string"'),
        ({"type": "boolean"}, False, 0, 'Invalid value: "integer": spec.it in body must be of type boolean: "integer"'),
        ({"type": "array"}, [], {}, 'Invalid value: "object": spec.it in body must be of type array: "object"'),
        ({"type": "object"}, {}, [], 'Invalid value: "array": spec.it in body must be of type object: "array"'),
        (
            {"type": "string", "enum": ["a", "b"]},
            *("a", "c"),
            'Unsupported value: "c": supported values: "a", "b"',
        ),
        (
            {"type": "integer", "minimum": 1},
            *(1, 0),
            "Invalid value: 0: spec.it in body should be greater than or equal to 1",
        ),
        (
            {"type": "integer", "maximum": 3},
            *(3, 4),
            "Invalid value: 4: spec.it in body should be less than or equal to 3",
        ),
        (
            {"type": "string", "pattern": "^a+$"},
            *("aa", "b"),
            "Invalid value: \"b\": spec.it in body should match '^a+$'",
        ),
    ],
)
def test_a_value_fits_its_schema(schema: dict[str, Any], good: Any, bad: Any, message: str) -> None:
    kind = of_spec(it=schema)
    assert causes(kind, widget({"it": good})) == []
    ((_, found, field),) = causes(kind, widget({"it": bad}))
    assert (found, field) == (message, "spec.it")


def test_a_nullable_value_may_be_null() -> None:
    assert causes(of_spec(it={"type": "string", "nullable": True}), widget({"it": None})) == []


@pytest.mark.parametrize("value", [5, "50%"])
def test_a_number_or_text_may_be_either(value: Any) -> None:
    assert causes(of_spec(it={"x-kubernetes-int-or-string": True}), widget({"it": value})) == []


def test_causes_name_the_place_in_lists_and_maps() -> None:
    kind = of_spec(
        items={
            "type": "array",
            "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
        },
        sizes={"type": "object", "additionalProperties": {"type": "integer"}},
    )
    found = causes(kind, widget({"items": [{"id": 1}, {"id": "x"}, {}], "sizes": {"a": 1, "b": "x"}}))
    assert [field for *_, field in found] == ["spec.items[1].id", "spec.items[2].id", "spec.sizes.b"]


def test_the_name_is_invalid_under_its_group() -> None:
    with pytest.raises(Refusal) as refused:
        validate(of_spec(it={"type": "string"}), widget({"it": 5}))
    assert refused.value.message.startswith('Widget.x.io "w" is invalid: spec.it: ')
    assert refused.value.details is not None
    assert (refused.value.details["group"], refused.value.details["kind"]) == ("x.io", "Widget")


# Pruning and defaults of custom resources


def pruned(kind: ResourceType, spec: Any) -> Any:
    return prune(kind, widget(spec)).get("spec")


def test_unknown_fields_are_dropped_wherever_they_are() -> None:
    below = {"type": "object", "properties": {"a": {"type": "integer"}}}
    kind = of_spec(
        one=below, many={"type": "array", "items": below}, named={"type": "object", "additionalProperties": below}
    )
    given = {"a": 1, "x": 2}
    spec = {"one": given, "many": [given, given], "named": {"n": given}, "x": given}
    assert pruned(kind, spec) == {"one": {"a": 1}, "many": [{"a": 1}, {"a": 1}], "named": {"n": {"a": 1}}}
    assert "other" not in prune(kind, {**widget({}), "other": 1})


def test_unknown_fields_are_kept_where_the_schema_says_so() -> None:
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "object"}}}
    assert pruned(of_spec(it=kept), {"it": {"x": {"y": 1}, "a": {"z": 1}}}) == {"it": {"x": {"y": 1}, "a": {}}}


def test_defaults_fill_what_is_left_out_and_nothing_else() -> None:
    kind = of_spec(size={"type": "integer", "default": 3}, name={"type": "string", "default": "x"})
    assert pruned(kind, {"size": 0}) == {"size": 0, "name": "x"}


def test_defaults_are_filled_into_defaults_and_into_items() -> None:
    below = {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}
    kind = of_spec(one=below | {"default": {}}, many={"type": "array", "items": below})
    assert pruned(kind, {"many": [{}]}) == {"one": {"size": 3}, "many": [{"size": 3}]}
    assert pruned(of_spec(one=below), {}) == {}, "a structure without a default stays away"


def test_a_default_stands_in_for_a_null_that_is_not_allowed() -> None:
    kind = of_spec(
        a={"type": "integer", "default": 3},
        b={"type": "integer", "default": 3, "nullable": True},
        c={"type": "integer", "nullable": True},
    )
    assert pruned(kind, {"a": None, "b": None, "c": None}) == {"a": 3, "b": None, "c": None}


def test_what_is_stored_shares_nothing_with_the_schema() -> None:
    schema = {"type": "object", "default": {"list": [1]}, "x-kubernetes-preserve-unknown-fields": True}
    before = copy.deepcopy(schema)
    pruned(of_spec(it=schema), {})["it"]["list"].append(2)
    assert schema == before


DEFAULTED = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.x.io"},
    "spec": {
        "group": "x.io",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {"size": {"type": "integer", "default": 3}},
                            }
                        },
                    }
                },
            }
        ],
    },
}


async def test_what_is_required_may_come_by_default_however_it_is_written() -> None:
    server = ApiServer()
    server.create(DEFAULTED)
    assert server.create(widget({}))["spec"] == {"size": 3}
    assert server.patch("x.io/v1", "Widget", "w", {"spec": {"size": None}})["spec"] == {"size": 3}
    applied = widget({}) | {"metadata": {"name": "applied"}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    async with server, aiohttp.ClientSession(server.url) as http:
        path = "/apis/x.io/v1/namespaces/default/widgets/applied?fieldManager=me"
        async with http.patch(path, json=applied, headers=headers) as response:
            answer = await response.json()
    assert (response.status, answer.get("spec")) == (201, {"size": 3}), answer


def test_what_is_refused_leaves_nothing_behind() -> None:
    server = ApiServer()
    server.create(DEFAULTED)
    revision = server.resource_version
    with pytest.raises(Refusal):
        server.create(widget({"size": "large"}))
    assert server.list("x.io/v1", "Widget") == []
    assert server.resource_version == revision


# Definitions


def definition(**spec: Any) -> dict[str, Any]:
    changed = DEFAULTED["spec"] | spec  # type: ignore[operator]  # a literal of mixed types
    return DEFAULTED | {"spec": {name: value for name, value in changed.items() if value is not None}}


VERSION: dict[str, Any] = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": {"type": "object"}},
}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"group": None}, "spec.group"),
        ({"scope": None}, "spec.scope"),
        ({"scope": "Everywhere"}, "spec.scope"),
        ({"names": None}, "spec.names.plural"),
        ({"names": {"plural": "widgets"}}, "spec.names.kind"),
        ({"names": {"plural": "gadgets", "kind": "Widget"}}, "metadata.name"),
        ({"versions": None}, "spec.versions"),
        ({"versions": [VERSION | {"storage": False}]}, "spec.versions"),
        ({"versions": [VERSION, VERSION | {"name": "v2"}]}, "spec.versions"),
        ({"versions": [VERSION | {"schema": None}]}, "spec.versions[0].schema.openAPIV3Schema"),
    ],
)
def test_a_definition_that_defines_nothing_is_422(spec: dict[str, Any], field: str) -> None:
    kind = built_in("customresourcedefinitions", "apiextensions.k8s.io")
    assert field in [found for *_, found in causes(kind, definition(**spec))]
    server = ApiServer()
    with pytest.raises(Refusal) as refused:
        server.create(definition(**spec))
    assert refused.value.code == 422
    assert server.list("apiextensions.k8s.io/v1", "CustomResourceDefinition") == []


def test_a_definition_that_becomes_invalid_is_refused_and_the_old_one_is_served_on() -> None:
    server = ApiServer()
    server.create(DEFAULTED)
    with pytest.raises(Refusal):
        server.update(definition(scope="Everywhere"))
    assert server.create(widget({}))["spec"] == {"size": 3}


def _refusal(api_version: str, kind: str, **fields: Any) -> str:
    """The words with which a new server refuses an object, or ""."""
    metadata = {"name": fields.pop("name", "one")}
    try:
        ApiServer().create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields})
    except Refusal as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, "unsupported scope applied to resource"),
        ({"hard": {"pods": 1}, "scopes": ["Nosuch"]}, 'spec.scopes: Invalid value: ["Nosuch"]: unsupported scope'),
        ({"hard": {"pods": 1}, "scopes": ["BestEffort", "NotBestEffort"]}, "conflicting scopes"),
        ({"hard": {"pods": "-1"}}, 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'),
        ({"hard": {"nosuch": 1}}, "must be a standard resource for quota"),
    ],
)
def test_a_quota_of_what_its_scope_does_not_count_is_refused(spec: dict[str, Any], why: str) -> None:
    assert why in _refusal("v1", "ResourceQuota", spec=spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"hard": {"pods": 1}, "scopes": ["BestEffort"]},
        {"hard": {"count/deployments.apps": 2, "requests.nvidia.com/gpu": 1, "requests.hugepages-2Mi": "4Mi"}},
    ],
)
def test_a_quota_that_counts_what_it_can_is_taken(spec: dict[str, Any]) -> None:
    assert _refusal("v1", "ResourceQuota", spec=spec) == ""


def test_the_priorities_of_the_system_are_refused_to_users() -> None:
    classes = ("scheduling.k8s.io/v1", "PriorityClass")
    assert "reserved for system use only" in _refusal(*classes, name="system-mine", value=1)
    assert "maximum allowed value of a user defined priority is 1000000000" in _refusal(*classes, value=2_000_000_000)
    assert _refusal(*classes, value=1_000_000_000) == ""


def test_a_budget_of_more_than_all_pods_is_refused() -> None:
    spec = {"selector": {}, "maxUnavailable": "150%"}
    assert "must not be greater than 100%" in _refusal("policy/v1", "PodDisruptionBudget", spec=spec)


def test_an_ephemeral_container_has_a_name_of_its_own() -> None:
    container = {"name": "box", "image": "box:1"}
    causes = check_pod_spec({"containers": [container], "ephemeralContainers": [container]}, "spec")
    assert ("FieldValueDuplicate", 'Duplicate value: "box"', "spec.ephemeralContainers[0].name") in causes


async def test_answers_about_a_deprecated_version_of_a_custom_resource_have_a_warning() -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    old = {"name": "v1beta1", "served": True, "storage": False, "deprecated": True, "schema": schema}
    new = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "gears", "singular": "gear", "kind": "Gear"}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [old, new]}
    api_version, kind = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        server.create(
            {"apiVersion": api_version, "kind": kind, "metadata": {"name": "gears.example.com"}, "spec": spec}
        )
        async with http.get("/apis/example.com/v1beta1/gears") as answer:
            text = "example.com/v1beta1 Gear is deprecated; use example.com/v1 Gear"
            assert answer.headers["Warning"] == f'299 - "{text}"'
        async with http.get("/apis/example.com/v1/gears") as answer:
            assert "Warning" not in answer.headers
