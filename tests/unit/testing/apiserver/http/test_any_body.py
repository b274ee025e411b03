"""No body of any shape is answered 5xx, unless a real server answers so: for POST, PUT, PATCH and DELETE alike."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kinformer.testing import ApiServer, build
from tests.unit.testing.apiserver.rules.test_validation import DEFAULTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY, YAML = "application/apply-patch+yaml", "application/yaml"
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


def prepare() -> ApiServer:
    server = ApiServer()
    server.create(DEFAULTED)
    server.create({**CUSTOM, "metadata": {"name": "w", "namespace": "default"}})
    for manifest in (
        *(build.pod("p", "default"), build.config_map("c", "default"), build.deployment("d", "default")),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}},
    ):
        server.create(manifest)
    return server


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


async def ask(question: Question) -> tuple[int, str]:
    method, path, content_type, body = question
    data = yaml.safe_dump(body) if content_type == YAML else json.dumps(body)
    headers = {"Content-Type": content_type}
    async with (
        prepare() as server,
        aiohttp.ClientSession(server.url) as http,
        http.request(method, path, data=data, headers=headers) as answer,
    ):
        return answer.status, (await answer.text())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, []))
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, {"metadata": [], "spec": {"replicas": 2}}))
@example(question=("PUT", f"{APPS}/deployments/d/scale", JSON, {"metadata": {}, "spec": 3}))
@example(question=("POST", f"{POD}/eviction", JSON, {"metadata": 5}))
@example(question=("PUT", f"{POD}/status", JSON, {"metadata": {"name": "p"}, "status": 5}))
@example(question=("DELETE", POD, JSON, {"preconditions": 5}))
@example(question=("DELETE", POD, JSON, {"propagationPolicy": 5}))
def test_no_body_of_any_shape_is_answered_5xx(loop: asyncio.AbstractEventLoop, question: Question) -> None:
    logging.getLogger("kinformer.testing").setLevel(logging.CRITICAL)
    code, text = loop.run_until_complete(ask(question))
    if code >= 500:
        assert json.loads(text)["message"].startswith(ON_A_REAL_SERVER), text


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
async def test_a_field_of_another_type_is_refused_by_its_name(question: Question, code: int, message: str) -> None:
    answered, text = await ask(question)
    assert (answered, message in text) == (code, True), text
