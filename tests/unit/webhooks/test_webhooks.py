"""Webhooks without HTTP: answers to reviews, good and bad, and the configurations."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from kinformer import KubeObject
from kinformer.custom_resources import Conversions, CustomResource, ObjectMeta, custom_resource
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.webhooks import AdmissionRequest, Allow, Deny, Patch, ServiceAddress, Webhooks


class Spec(msgspec.Struct):
    size: int = 1
    tags: list[str] = []


@custom_resource(group="example.com", version="v1", kind="Box")
class Box(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: Spec


class OldSpec(msgspec.Struct):
    size: str = "1"


@custom_resource(group="example.com", version="v1beta1", kind="Box", storage=False)
class OldBox(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: OldSpec


BOX = {
    "apiVersion": "example.com/v1",
    "kind": "Box",
    "metadata": {"name": "a", "namespace": "n", "managedFields": []},
    "spec": {"size": 1, "unknown": 5},
}


def review(obj: Any = BOX, operation: str = "CREATE", **request: Any) -> bytes:
    asked = {"uid": "u1", "operation": operation, "name": "a", "namespace": "n", "object": obj} | request
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked})


def boxes() -> Conversions:
    conversions = Conversions(Box)

    @conversions.add(OldBox)
    def up(old: OldBox) -> Box:
        return Box(old.metadata, Spec(int(old.spec.size)))

    @conversions.add_back(OldBox)
    def down(new: Box) -> OldBox:
        return OldBox(new.metadata, OldSpec(str(new.spec.size)))

    return conversions


async def answered(webhooks: Webhooks, body: bytes, path: str = "") -> tuple[int, Any]:
    status, answer = await webhooks.answer(path or webhooks.paths[0], body)
    return status, msgspec.json.decode(answer) if status == 200 else answer.decode()


async def test_a_patch_has_only_the_change_of_the_class() -> None:
    webhooks = Webhooks()

    @webhooks.mutating(Box)
    async def grow(request: AdmissionRequest[Box]) -> Patch:
        box = request.new
        box.spec.size += 1
        return Patch(box, warnings=["it grew"], audit={"grew": "1"})

    status, answer = await answered(webhooks, review())
    response = answer["response"]
    assert (status, answer["kind"], response["uid"], response["allowed"]) == (200, "AdmissionReview", "u1", True)
    assert msgspec.json.decode(base64.b64decode(response["patch"])) == [
        {"op": "replace", "path": "/spec/size", "value": 2}
    ]
    assert response["warnings"] == ["it grew"]
    assert response["auditAnnotations"] == {"grew": "1"}


async def test_an_object_without_a_name_yet_can_be_patched() -> None:
    webhooks = Webhooks()

    @webhooks.mutating(PODS)
    async def label(request: AdmissionRequest[KubeObject]) -> Patch:
        pod = request.new.to_dict()
        pod["metadata"] |= {"labels": {"a": "b"}}
        return Patch(KubeObject.from_dict(pod, PODS))

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"}}
    _, answer = await answered(webhooks, review(pod, name=""))
    assert msgspec.json.decode(base64.b64decode(answer["response"]["patch"])) == [
        {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    ]


async def test_refusals_have_code_reason_and_message() -> None:
    webhooks = Webhooks()

    @webhooks.validating(Box, operations=("DELETE",))
    async def never(request: AdmissionRequest[Box]) -> Deny:
        assert request.object is None
        assert request.old is not None
        with pytest.raises(LookupError):
            _ = request.new
        return Deny("kept", code=409, reason="Conflict")

    _, answer = await answered(webhooks, review(None, "DELETE", oldObject=BOX))
    assert answer["response"] == {
        "uid": "u1",
        "allowed": False,
        "status": {"code": 409, "message": "kept", "reason": "Conflict"},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        b'{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1","operation":"DELETE"}}',
        review(None),
        review(operation="CONNECT"),
        review(5),
        b'{"request":' + b"[" * 100_000,
    ],
)
async def test_a_body_that_is_no_review_is_refused(body: bytes) -> None:
    webhooks = Webhooks()

    @webhooks.validating(Box)
    async def check(request: AdmissionRequest[Box]) -> Allow:
        raise AssertionError

    status, answer = await answered(webhooks, body)
    assert status == 400
    assert "AdmissionReview" in answer


@pytest.mark.parametrize("answer", [None, True, Patch({}), "yes"])
async def test_another_answer_leaves_the_decision_to_the_failure_policy(answer: Any) -> None:
    webhooks = Webhooks()

    @webhooks.validating(Box)
    async def check(request: AdmissionRequest[Box]) -> Any:
        return answer

    assert (await answered(webhooks, review()))[0] == 500


async def test_a_webhook_waits_for_its_caches_and_gives_up_in_time() -> None:
    webhooks, synced = Webhooks(), asyncio.Event()

    class Cache:
        async def synced(self, timeout: float | None = None) -> None:
            await synced.wait()

    @webhooks.validating(Box, informers=[Cache()])
    async def check(request: AdmissionRequest[Box]) -> Allow:
        return Allow()

    status, _ = await webhooks.answer("/validate/check", review(), timeout=0.01)
    assert status == 504
    synced.set()
    assert (await answered(webhooks, review()))[0] == 200


async def test_the_old_object_is_decoded_when_it_is_read() -> None:
    """A stored object that does not fit any more can still be replaced by one that does."""
    webhooks = Webhooks()

    @webhooks.validating(Box)
    async def check(request: AdmissionRequest[Box]) -> Allow:
        return Allow()

    broken = BOX | {"spec": {"size": "many"}}
    assert (await answered(webhooks, review(operation="UPDATE", oldObject=broken)))[0] == 200
    status, answer = await answered(webhooks, review(broken, "UPDATE", oldObject=BOX))
    assert (status, answer["response"]["status"]["code"]) == (200, 422)


def test_the_configurations_have_what_the_functions_declare() -> None:
    webhooks = Webhooks("shop")

    @webhooks.mutating(Box, reinvocation="IfNeeded", match_conditions={"big": "object.spec.size > 1"})
    async def set_defaults(request: AdmissionRequest[Box]) -> Allow:
        return Allow()

    @webhooks.validating(CONFIGMAPS, operations=("DELETE",), failure_policy="Ignore", subresource="status", timeout=3)
    async def guard(request: AdmissionRequest[KubeObject]) -> Allow:
        return Allow()

    mutating, validating = webhooks.configurations(ServiceAddress("shop", "hooks"), b"PEM", annotations={"a": "b"})
    assert mutating["metadata"] == {"name": "shop", "annotations": {"a": "b"}}
    (entry,) = mutating["webhooks"]
    assert entry["name"] == "set-defaults.boxes.example.com"
    assert entry["clientConfig"] == {
        "service": {"namespace": "shop", "name": "hooks", "port": 443, "path": "/mutate/set-defaults"},
        "caBundle": base64.b64encode(b"PEM").decode(),
    }
    assert entry["reinvocationPolicy"] == "IfNeeded"
    assert entry["matchConditions"] == [{"name": "big", "expression": "object.spec.size > 1"}]
    (entry,) = validating["webhooks"]
    assert entry["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["configmaps/status"],
            "operations": ["DELETE"],
            "scope": "Namespaced",
        }
    ]
    assert (entry["failurePolicy"], entry["timeoutSeconds"]) == ("Ignore", 3)
    with pytest.raises(ValueError, match="https"):
        webhooks.configurations("http://somewhere")


@pytest.mark.parametrize(
    "options",
    [
        {"failure_policy": "Maybe"},
        {"side_effects": "Some"},
        {"timeout": 31},
        {"operations": ()},
        {"operations": ("CONNECT",)},
        {"reinvocation": "IfNeeded"},
    ],
)
def test_what_the_api_server_would_refuse_is_refused_here(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Webhooks().validating(Box, **options)


def test_functions_and_targets_are_checked() -> None:
    webhooks = Webhooks()
    with pytest.raises(TypeError, match="operations"):
        webhooks.validating(Box, operations="CREATE")
    with pytest.raises(TypeError, match="custom_resource"):
        webhooks.validating(Spec)
    not_async: Any = lambda request: Allow()  # noqa: E731
    with pytest.raises(TypeError, match="async def"):
        webhooks.validating(Box)(not_async)


async def test_conversions_are_answered_in_order() -> None:
    webhooks = Webhooks()
    webhooks.convert(boxes())
    request = {"uid": "u2", "desiredAPIVersion": "example.com/v1beta1", "objects": [BOX, BOX | {"spec": {"size": 7}}]}
    asked = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": request}
    status, answer = await answered(webhooks, msgspec.json.encode(asked))
    response = answer["response"]
    assert (status, response["uid"], response["result"]) == (200, "u2", {"status": "Success"})
    assert [each["spec"] for each in response["convertedObjects"]] == [{"size": "1"}, {"size": "7"}]
    assert response["convertedObjects"][0]["metadata"] == BOX["metadata"]
    request["objects"] = [BOX | {"spec": {"size": []}}]
    _, answer = await answered(webhooks, msgspec.json.encode(asked))
    assert answer["response"]["result"]["status"] == "Failed"
    assert "convertedObjects" not in answer["response"]


async def test_it_is_an_asgi_application() -> None:
    webhooks = Webhooks(prefix="/hooks")

    @webhooks.validating(Box)
    async def check(request: AdmissionRequest[Box]) -> Allow:
        return Allow()

    async def call(path: str, root: str, method: str = "POST") -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": review()}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "root_path": root, "query_string": b"timeout=10s"}
        await webhooks(scope, receive, send)
        return int(sent[0]["status"])

    assert await call("/hooks/validate/check", "") == 200
    assert await call("/app/hooks/validate/check", "/app") == 200
    assert await call("/hooks/validate/other", "") == 404
    assert await call("/hooks/validate/check", "", "GET") == 405
