"""kinformer types: classes that hold what servers send, and sources that no schema can break."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import types
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml

from kinformer import Client, ClusterConfig
from kinformer.cli._app import run
from kinformer.cli._object_types.names import attribute_of, camel_of, class_name_of
from kinformer.cli._object_types.schemas import builtin_document
from kinformer.resources import find_resource
from kinformer.testing import ApiServer
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = ROOT / "tests" / "data"
WEBSITE: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "websites.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Website", "plural": "websites", "singular": "website", "listKind": "WebsiteList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "metadata": {"type": "object"},
                            "spec": {
                                "type": "object",
                                "required": ["hostName"],
                                "properties": {
                                    "hostName": {"type": "string", "description": "The name. More of it."},
                                    "from": {"type": "integer"},
                                    "int": {"type": "integer"},
                                    "maxUnavailable": {"x-kubernetes-int-or-string": True},
                                    "ports": {
                                        "type": "array",
                                        "items": {"type": "object", "properties": {"number": {"type": "integer"}}},
                                    },
                                    "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                                    "note": {"type": "string", "nullable": True},
                                    "anything": {"x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}
OBJECT = {
    "apiVersion": "example.com/v1",
    "kind": "Website",
    "metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"}},
    "spec": {
        "hostName": "a.example.com",
        "from": 1,
        "int": 2,
        "maxUnavailable": "25%",
        "ports": [{"number": 80}],
        "limits": {"cpu": 1.5},
        "note": None,
        "anything": [1],
    },
}


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The module that a command prints."""
    made: list[str] = []

    def module(*arguments: str) -> types.ModuleType:
        assert run(["types", *arguments]) == 0, capsys.readouterr().err
        name = f"printed_types_{len(made)}"
        made.append(name)
        sys.modules[name] = found = types.ModuleType(name)
        found.__dict__["source"] = source = capsys.readouterr().out
        exec(compile(source, name, "exec", dont_inherit=True), found.__dict__)
        return found

    yield module
    for name in made:
        del sys.modules[name]


def definition(tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "website.yaml"
    path.write_text(yaml.safe_dump({**WEBSITE, **changes}))
    return str(path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["types", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip()


@pytest.mark.parametrize("style", ["struct", "typeddict"])
def test_the_pods_of_a_real_server_fit(printed: Any, style: str) -> None:
    items = json.loads(gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes()))["items"][:30]
    decoder = msgspec.json.Decoder(printed("pods", "--style", style).Pod)
    pods = [decoder.decode(json.dumps(item)) for item in items]
    spec = [pod.spec.node_name if style == "struct" else pod["spec"].get("nodeName") for pod in pods]
    assert spec == [item["spec"].get("nodeName") for item in items]


KINDS = {"roles": "Role", "namespaces": "Namespace"}


async def objects_of_a_cluster() -> dict[str, list[bytes]]:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "none", "namespace": "default"},
                "rules": None,
            }
        )
        return {kind: [obj.raw for obj in await client.list(name)] for name, kind in KINDS.items()}


@pytest.mark.parametrize("style", ["struct", "typeddict"])
def test_the_objects_of_a_new_cluster_fit_with_their_nulls(printed: Any, style: str) -> None:
    found = asyncio.run(objects_of_a_cluster())
    assert any(b'"rules":null' in raw for raw in found["Role"])
    module = printed(*KINDS, "--style", style)
    for kind, objects in found.items():
        assert objects
        for raw in objects:
            msgspec.json.decode(raw, type=getattr(module, kind))


def test_the_fields_have_the_names_of_the_schemas(printed: Any) -> None:
    names = ("nodes", "events", "events.events.k8s.io", "customresourcedefinitions", "resourceslices", "flowschemas")
    served = [found for name in names if (found := find_resource(name)) is not None]
    module = printed(*names, "--no-docs")
    schemas: dict[str, Any] = {}
    for api_version in {each.api_version for each in served}:
        schemas |= (builtin_document(api_version) or {})["components"]["schemas"]
    structs = {n: v for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, msgspec.Struct)}
    named = {tuple(sorted(schema["properties"])) for schema in schemas.values() if "properties" in schema}
    assert len(structs) > 50
    for struct in structs.values():
        fields = msgspec.structs.fields(struct)
        assert tuple(sorted(field.encode_name for field in fields)) in named
        msgspec.inspect.type_info(struct)  # each type is one that msgspec can read
    assert {"CoreV1Event", "EventsV1Event"} <= structs.keys()


def test_fields_keep_what_is_named_and_the_names_of_objects(printed: Any) -> None:
    module = printed("pods", "--fields", "spec.containers[*].image,.status.phase")
    pod = msgspec.json.decode(
        b'{"metadata":{"name":"a"},"spec":{"nodeName":5,"containers":[{"name":1,"image":"i"}]},"status":{}}',
        type=module.Pod,
    )
    assert (pod.metadata.name, pod.metadata.namespace, pod.spec.containers[0].image) == ("a", "", "i")
    assert [field.name for field in msgspec.structs.fields(module.Container)] == ["image"]
    assert pod.status.phase is None


def test_a_whole_object_made_of_a_struct_is_a_manifest(printed: Any) -> None:
    module = printed("configmaps")
    made = module.ConfigMap(metadata=module.ObjectMeta(name="a"), data={"x": "1"})
    assert msgspec.to_builtins(made) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a"},
        "data": {"x": "1"},
        "binaryData": None,
        "immutable": None,
    }


def test_a_definition_in_a_file_gives_classes(printed: Any, tmp_path: Path) -> None:
    module = printed("-f", definition(tmp_path))
    site = msgspec.json.decode(json.dumps(OBJECT), type=module.Website)
    assert (site.spec.host_name, site.spec.from_, site.spec.int_) == ("a.example.com", 1, 2)
    assert (site.spec.max_unavailable, site.spec.ports[0].number, site.spec.limits) == ("25%", 80, {"cpu": 1.5})
    assert (site.spec.note, site.spec.anything, site.metadata.labels) == (None, [1], {"app": "web"})
    assert '"""The name."""' in module.source
    plain = printed("-f", definition(tmp_path), "--style", "typeddict")
    assert msgspec.json.decode(json.dumps(OBJECT), type=plain.Website) == OBJECT


async def test_a_cluster_gives_the_classes_of_its_resources(capsys: pytest.CaptureFixture[str]) -> None:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._object_types.class_texts import Style
    from kinformer.cli._object_types.writing import print_types

    async with ApiServer() as server:
        server.create(WEBSITE)
        await print_types(
            ["websites", "pods"],
            [],
            ServerChoice(server=server.url),
            from_cluster=True,
            paths=["spec.hostName", "spec.nodeName"],
            style=Style.STRUCT,
            docs=True,
            command=["kinformer", "types"],
        )
    printed = capsys.readouterr().out
    assert "class Website(" in printed
    assert "host_name: str\n" in printed
    assert "node_name: str | None = None" in printed
    assert "a cluster with Kubernetes 1.36" in printed


def test_a_schema_cannot_bring_code(printed: Any, tmp_path: Path) -> None:
    evil = 'x"""\nimport sys; sys.evil = True\n"""\\'
    schema = {
        "type": "object",
        "description": evil,
        "properties": {evil: {"type": "string", "description": evil}, "class": {"type": "object", "properties": {}}},
    }
    spec = WEBSITE["spec"]
    version = {**spec["versions"][0], "schema": {"openAPIV3Schema": schema}}
    changed = {**spec, "names": {**spec["names"], "kind": evil}, "versions": [version]}
    for style in ("struct", "typeddict"):
        printed("-f", definition(tmp_path, spec=changed), "--style", style)
        assert not hasattr(sys, "evil")


def test_refusals_name_the_remedy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "name a resource" in refusal(capsys)
    assert "spec has no field 'nodename'; did you mean 'nodeName'?" in refusal(
        capsys, "pods", "--fields", "spec.nodename"
    )
    assert "metadata.labels has no fields; end the path there" in refusal(
        capsys, "pods", "--fields", "metadata.labels.app"
    )
    assert "is no path" in refusal(capsys, "pods", "--fields", "spec..x")
    other = tmp_path / "other.yaml"
    other.write_text("kind: ConfigMap")
    assert refusal(capsys, "-f", str(other)).endswith("other.yaml: there is no CustomResourceDefinition in it")
    other.write_text("kind: CustomResourceDefinition")
    assert "lacks 'spec'" in refusal(capsys, "-f", str(other))
    other.write_text("a: [")
    assert "no YAML" in refusal(capsys, "-f", str(other))
    assert run(["types", "-f", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("podIPs", "pod_ips"),
        ("podCIDR", "pod_cidr"),
        ("nonResourceURLs", "non_resource_urls"),
        ("hostIPC", "host_ipc"),
        ("APIGroup", "api_group"),
        ("scaleIO", "scale_io"),
        ("ipv4", "ipv4"),
        ("continue", "continue_"),
        ("int", "int_"),
        ("$ref", "ref"),
        ("x-kubernetes-map-type", "x_kubernetes_map_type"),
        ("2fa", "field_2_fa"),
        ("…", "field"),
    ],
)
def test_attributes_are_snake_case(name: str, attribute: str) -> None:
    assert attribute_of(name) == attribute
    assert attribute.isidentifier()


def test_names_in_camel_case_are_those_of_msgspec() -> None:
    for attribute in ("node_name", "from_", "pod_ips", "x_kubernetes_map_type", "ipv4"):
        struct = msgspec.defstruct("S", [(attribute, str)], rename="camel")
        assert msgspec.structs.fields(struct)[0].encode_name == camel_of(attribute)
    assert class_name_of("Website", "spec item") == "WebsiteSpecItem"
    assert class_name_of("None") == "None_"
