"""No body of any shape is answered 5xx, unless a real server answers so: for POST, PUT, PATCH and DELETE alike."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinformer.testing import ApiServer, build
from kinformer.testing._apiserver.schemas import protobuf
from tests.unit.testing.apiserver.rules.test_validation import DEFAULTED
from tests.unit.testing.apiserver.schemas.recorded import KINDS, STORED, TYPES
from tests.unit.testing.apiserver.schemas.test_protobuf import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY, YAML = "application/apply-patch+yaml", "application/yaml"
PROTOBUF = protobuf.MEDIA_TYPE
CORE, APPS = "/api/v1/namespaces/default", "/apis/apps/v1/namespaces/default"
POD, MAP, SERVICE = f"{CORE}/pods/p", f"{CORE}/configmaps/c", f"{CORE}/services"
REVIEWS = "/apis/authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/x.io/v1/namespaces/default/widgets"
AUTOSCALERS = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"

ON_A_REAL_SERVER = (
    "failed to create typed patch object",
    "strconv.ParseUint: parsing",
    "resourceVersion should not be set on objects to be created",
    "target.name: Required value",
)
"""The beginnings of the messages with which a kube-apiserver 1.36 answers 500 to a body."""

EVENT = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}
OPTIONS = {"preconditions": {"uid": "u"}, "gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "dryRun": ["All"]}
SCALE = {"metadata": {"name": "d"}, "spec": {"replicas": 2}}
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
EVICTION = {"metadata": {"name": "p"}, "deleteOptions": OPTIONS}
ACCESS = {"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
PATCH = {
    "metadata": {"labels": {"a": None}, "finalizers": ["x.io/a"], "managedFields": [{}]},
    "spec": {"$setElementOrder/containers": [{"name": "p"}], "containers": [{"name": "p", "$patch": "delete"}]},
}
OPERATIONS = [{"op": "test", "path": "/metadata/name", "value": "p"}, {"op": "copy", "from": "/spec", "path": "/a/0"}]
CUSTOM = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 2}}
AUTOSCALER = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 5}}

Question = tuple[str, str, str, Any]
Ask = Callable[[Question], tuple[int, str]]
QUESTIONS: list[Question] = [
    ("POST", f"{CORE}/pods", JSON, build.pod("new", "default", node="n")),
    ("POST", f"{CORE}/pods", YAML, build.pod("new", "default", node="n")),
    ("PUT", POD, JSON, build.pod("p", "default")),
    ("PUT", f"{POD}/status", JSON, build.pod("p", "default")),
    ("PUT", f"{POD}/ephemeralcontainers", JSON, build.pod("p", "default")),
    ("PUT", f"{POD}/resize", JSON, build.pod("p", "default")),
    ("POST", f"{CORE}/configmaps", JSON, build.config_map("new", "default", data={"a": "b"})),
    ("PUT", MAP, JSON, build.config_map("c", "default", data={"a": "b"})),
    ("POST", f"{CORE}/secrets", JSON, build.secret("new", "default", data={"a": "b"})),
    ("POST", f"{APPS}/deployments", JSON, build.deployment("new", "default")),
    ("POST", "/apis/batch/v1/namespaces/default/jobs", JSON, build.job("new", "default")),
    ("POST", SERVICE, JSON, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "type": "NodePort"}}),
    ("POST", f"{CORE}/events", JSON, EVENT),
    ("POST", "/api/v1/namespaces", JSON, build.namespace("new")),
    ("POST", "/api/v1/nodes", JSON, {"metadata": {"name": "n"}, "status": {"nodeInfo": {}}}),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l", JSON, {"metadata": {"name": "l"}, "spec": {}}),
    ("POST", AUTOSCALERS, JSON, AUTOSCALER),
    ("POST", DEFINITIONS, JSON, DEFAULTED),
    ("PUT", f"{DEFINITIONS}/widgets.x.io", JSON, DEFAULTED),
    ("POST", WIDGETS, JSON, CUSTOM),
    ("PUT", f"{WIDGETS}/w", JSON, CUSTOM),
    ("PATCH", f"{WIDGETS}/w", MERGE, CUSTOM),
    ("PATCH", f"{WIDGETS}/w?fieldManager=m", APPLY, CUSTOM),
    ("PUT", f"{APPS}/deployments/d/scale", JSON, SCALE),
    ("PATCH", f"{APPS}/deployments/d/scale", MERGE, SCALE),
    ("PATCH", f"{APPS}/deployments/d/scale?fieldManager=m", APPLY, SCALE),
    ("POST", f"{POD}/binding", JSON, BINDING),
    ("POST", f"{POD}/eviction", JSON, EVICTION),
    ("POST", f"{REVIEWS}/selfsubjectaccessreviews", JSON, ACCESS),
    ("POST", f"{CORE}/serviceaccounts/s/token", JSON, {"spec": {"expirationSeconds": 600}}),
    ("DELETE", MAP, JSON, OPTIONS),
    ("DELETE", POD, JSON, OPTIONS),
    ("DELETE", f"{CORE}/configmaps", JSON, OPTIONS),
    ("PATCH", POD, MERGE, PATCH),
    ("PATCH", POD, STRATEGIC, PATCH),
    ("PATCH", POD, JSON_PATCH, OPERATIONS),
    ("PATCH", f"{POD}?fieldManager=m&force=true", APPLY, build.pod("p", "default")),
]

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
scalars |= st.sampled_from(["", "p", "x", "default", "Orphan", "5", "/metadata", "a b", "\x00", "x.io/a", "Ready"])
names = st.sampled_from(["metadata", "name", "spec", "status", "containers", "labels", "$patch", "items", "x", ""])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each part of a JSON value."""
    yield path
    for step, child in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield from places(child, (*path, step))


@st.composite
def bodies(draw: Callable[[Any], Any], value: Any) -> Any:
    """A value in which some parts are replaced by anything."""
    result = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([*places(result)]))
        part = draw(anything)
        if not path:
            return part
        *way, last = path
        at = result
        for step in way:
            at = at[step]
        at[last] = part
    return result


@st.composite
def questions(draw: Callable[[Any], Any]) -> Question:
    method, path, content_type, body = draw(st.sampled_from(QUESTIONS))
    return method, path, content_type, draw(bodies(body))


OBJECTS: list[dict[str, Any]] = [
    DEFAULTED,
    {**CUSTOM, "metadata": {"name": "w", "namespace": "default"}},
    *(build.pod("p", "default"), build.config_map("c", "default"), build.deployment("d", "default")),
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}},
]


class Asker:
    """A server that has the same objects before each question."""

    def __init__(self, server: ApiServer, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self._changed = True

    async def ask(self, question: Question) -> tuple[int, str]:
        method, path, content_type, body = question
        if self._changed:
            self._server.reset()
            for manifest in OBJECTS:
                self._server.create(manifest)
        if not isinstance(body, bytes):
            body = (yaml.safe_dump(body) if content_type == YAML else json.dumps(body)).encode()
        # Protobuf is answered with protobuf, which is written from the same object.
        headers = {"Content-Type": content_type, "Accept": PROTOBUF if content_type == PROTOBUF else JSON}
        async with self._http.request(method, path, data=body, headers=headers) as answer:
            self._changed = not 400 <= answer.status < 500
            return answer.status, (await answer.read()).decode(errors="replace")


@pytest.fixture(scope="module")
def asker() -> Iterator[Ask]:
    """The function that asks one server, which runs for all tests of this module."""

    async def begin() -> Asker:
        server = await stack.enter_async_context(ApiServer())
        return Asker(server, await stack.enter_async_context(aiohttp.ClientSession(server.url)))

    stack = contextlib.AsyncExitStack()
    with asyncio.Runner() as runner:
        logger = logging.getLogger("kinformer.testing")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        begun = runner.run(begin())
        yield lambda question: runner.run(begun.ask(question))
        runner.run(stack.aclose())
        logger.setLevel(level)


def check(asker: Ask, question: Question) -> None:
    code, text = asker(question)
    if code >= 500:
        assert any(beginning in text for beginning in ON_A_REAL_SERVER), text


@settings(max_examples=400)
@given(question=questions())
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, []))
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, {"metadata": [], "spec": {"replicas": 2}}))
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, {"metadata": {}, "spec": 3}))
@example(question=("POST", f"{POD}/eviction", JSON, {"metadata": 5}))
@example(question=("PUT", f"{POD}/status", JSON, {"metadata": {"name": "p"}, "status": 5}))
@example(question=("DELETE", POD, JSON, {"preconditions": 5}))
@example(question=("DELETE", POD, JSON, {"propagationPolicy": 5}))
def test_no_body_of_any_shape_is_answered_5xx(asker: Ask, question: Question) -> None:
    check(asker, question)


# The kinds of the bodies that are written as protobuf, by the end of the path.
OF_PATHS = {
    "pods": ("v1", "Pod"),
    "p": ("v1", "Pod"),
    "status": ("v1", "Pod"),
    "ephemeralcontainers": ("v1", "Pod"),
    "resize": ("v1", "Pod"),
    "configmaps": ("v1", "ConfigMap"),
    "c": ("v1", "ConfigMap"),
    "secrets": ("v1", "Secret"),
    "deployments": ("apps/v1", "Deployment"),
    "jobs": ("batch/v1", "Job"),
    "services": ("v1", "Service"),
    "events": ("v1", "Event"),
    "namespaces": ("v1", "Namespace"),
    "nodes": ("v1", "Node"),
    "l": ("coordination.k8s.io/v1", "Lease"),
    "scale": ("autoscaling/v1", "Scale"),
    "binding": ("v1", "Binding"),
    "horizontalpodautoscalers": ("autoscaling/v1", "HorizontalPodAutoscaler"),
    "eviction": ("policy/v1", "Eviction"),
    "selfsubjectaccessreviews": ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    "token": ("authentication.k8s.io/v1", "TokenRequest"),
    **dict.fromkeys(
        ("customresourcedefinitions", "widgets.x.io"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    ),
}
OPTIONS_KIND = ("v1", "DeleteOptions")


def written(question: Question) -> list[Question]:
    """A question with its body as protobuf; none if it has no such form."""
    method, path, content_type, body = question
    kind = OPTIONS_KIND if method == "DELETE" else OF_PATHS.get(path.rpartition("/")[2])
    if content_type != JSON or kind is None:
        return []
    content = protobuf.encode({**body, "apiVersion": kind[0], "kind": kind[1]}, TYPES)
    assert content is not None, kind
    return [(method, path, PROTOBUF, content)]


IN_PROTOBUF = [one for question in QUESTIONS for one in written(question)]
MESSAGES = [base64.b64decode(case["protobuf"]) for case in STORED]
varints = st.sampled_from([0, 1, 2, 127, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
SIZES = [b"\x7f", b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\xff" * 11, b""]
texts = st.sampled_from([b"", b"\x00", b"\xff\xfe", b"-", b"1e999999999", b"x.io/a", b"a" * 300, b"{", b"[" * 2000])


def fields(data: bytes) -> list[tuple[int, int, Any]]:
    """The fields of a message; none if the bytes are no message."""
    try:
        return [*protobuf.fields_of(data)]
    except protobuf.ProtobufError:
        return []


@st.composite
def messages(draw: Callable[[Any], Any], data: bytes) -> bytes:
    """A message with one field replaced, doubled, renumbered or gone, at any depth; every length fits."""
    found = fields(data)
    if not found:
        return bytes(draw(texts))
    at = draw(st.integers(0, len(found) - 1))
    number, wire, value = found[at]
    change = draw(st.sampled_from(["deeper"] * 6 + ["value", "number", "twice", "gone", "wire", "nested"]))
    if change == "deeper" and wire == 2:
        found[at] = (number, wire, draw(messages(value)))
    elif change == "number":
        found[at] = (draw(st.integers(1, 60)), wire, value)
    elif change == "twice":
        found.append(found[at])
    elif change == "gone":
        del found[at]
    elif change == "wire":
        found[at] = (number, 0, draw(varints)) if wire == 2 else (number, 2, draw(texts))
    elif change == "nested":
        inner = b""
        for _ in range(draw(st.sampled_from([10, 99, 3000]))):
            inner = joined([(number, 2, inner)])
        found[at] = (number, 2, inner)
    else:
        found[at] = (number, wire, draw(varints) if wire == 0 else draw(texts) if wire == 2 else b"\xff" * len(value))
    return joined(found)


@st.composite
def bytes_of(draw: Callable[[Any], Any], body: bytes) -> bytes:
    """A damaged body: its message, its envelope, its end, or a length in it."""
    for _ in range(draw(st.integers(1, 2))):
        match draw(st.sampled_from(["message", "message", "message", "kind", "end", "length", "any", "other"])):
            case "message":
                body = body[:4] + draw(messages(body[4:]))
            case "kind":
                version, kind = draw(st.sampled_from([*KINDS, ("v1", "Nosuch"), ("", ""), OPTIONS_KIND]))
                meta = joined([(1, 2, version.encode()), (2, 2, kind.encode())])
                body = body[:4] + joined([(1, 2, meta), *(one for one in fields(body[4:]) if one[0] != 1)])
            case "end":
                body = body[: draw(st.integers(0, len(body)))]
            case "length":
                at = draw(st.integers(0, len(body)))
                body = body[:at] + draw(st.sampled_from(SIZES)) + body[at + 1 :]
            case "any":
                body = draw(st.sampled_from([b"", protobuf.MAGIC])) + draw(st.binary(max_size=60))
            case _:
                body = draw(st.sampled_from(MESSAGES))
    return body


@st.composite
def in_protobuf(draw: Callable[[Any], Any]) -> Question:
    method, path, content_type, body = draw(st.sampled_from(IN_PROTOBUF))
    return method, path, content_type, draw(bytes_of(body))


@settings(max_examples=150)
@given(question=in_protobuf())
def test_no_protobuf_body_of_any_shape_is_answered_5xx(asker: Ask, question: Question) -> None:
    check(asker, question)


def test_a_body_in_protobuf_has_the_code_of_the_same_body_in_json(asker: Ask) -> None:
    for question in QUESTIONS:
        for same in written(question):
            assert asker(same)[0] == asker(question)[0], question


@pytest.mark.parametrize(
    ("question", "code", "message"),
    [
        (
            ("PUT", f"{POD}/status", JSON, {"metadata": {"name": "p"}, "status": 5}),
            400,
            "Pod.status of type v1.PodStatus",
        ),
        (("DELETE", POD, JSON, {"propagationPolicy": 5}), 400, "DeleteOptions.propagationPolicy of type string"),
        (("DELETE", POD, JSON, {"propagationPolicy": "Foo"}), 422, "Unsupported value"),
        (("PUT", f"{APPS}/deployments/d/scale", JSON, {"spec": {"replicas": 1}}), 400, "name must be provided"),
        (("PUT", f"{APPS}/deployments/d/scale", JSON, {"spec": {"replicas": "1"}}), 400, "ScaleSpec.spec.replicas"),
        (("POST", f"{POD}/eviction", JSON, {"metadata": 5}), 400, "Eviction.metadata of type v1.ObjectMeta"),
    ],
)
def test_a_field_of_another_type_is_refused_by_its_name(
    asker: Ask, question: Question, code: int, message: str
) -> None:
    answered, text = asker(question)
    assert (answered, message in text) == (code, True), text
