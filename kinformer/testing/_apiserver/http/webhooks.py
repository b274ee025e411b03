"""Calls admission webhooks over HTTPS, as a kube-apiserver does."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import json
import ssl
import uuid
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from kinformer._connector import Connector
from kinformer.testing._apiserver.rules.conversions import in_version
from kinformer.testing._apiserver.rules.json_patch import apply_json_patch
from kinformer.testing._apiserver.rules.webhooks import Hook, has_policies, hooks_of, matching
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.testing._apiserver.rules.rbac import User
    from kinformer.testing._apiserver.rules.webhooks import Admission, Review
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.custom_versions import UnconvertedError
    from kinformer.testing._apiserver.store.storage import Store

__all__ = ["WebhookCaller"]

_API: Final = "admission.k8s.io/v1"
_MOST_BYTES: Final = 16 * 1024 * 1024
_CONVERTED_TOGETHER: Final = 500
"""Objects of one review of a conversion."""

_CONVERSION_SECONDS: Final = 30
"""apiextensions-apiserver: pkg/apiserver/conversion/webhook_converter.go."""
_SILENT: Final = {"None", "NoneOnDryRun"}


class WebhookCaller:
    """Asks policies and webhooks about writes.

    Args:
        store: the objects, among them the configurations.
        catalog: the resources.

    Attributes:
        services: the URLs of Services, by "namespace/name": the embedded server has no network of a cluster. A webhook
            with a Service is called there, and its certificate is checked for the name of the Service.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self.services: dict[str, str] = {}
        self._store = store
        self._catalog = catalog
        self._session: aiohttp.ClientSession | None = None
        self._trusted: dict[str, ssl.SSLContext] = {}

    def is_used(self) -> bool:
        """Report whether there is a webhook or a policy at all."""
        has_hooks = any(hooks_of(self._store, mutating=mutating) for mutating in (True, False))
        return has_hooks or has_policies(self._store)

    async def close(self) -> None:
        """Close the connections to the webhooks."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, review: Review, admission: Admission) -> None:
        """Ask the policies and the webhooks that a write concerns, and note their answer.

        Raises:
            Refusal: one of them refused, or gave no answer and must not be ignored.
        """
        # Imported here: a server without webhooks and policies has no use for the modules of CEL.
        from kinformer.testing._apiserver.rules.mutating_policies import MutatingPolicies
        from kinformer.testing._apiserver.rules.policies import ask_policies, conditions_hold

        asked = review
        policies = MutatingPolicies(review, admission, self._store, self._catalog)
        if review.mutating:
            review = review._replace(new=policies.apply(review.new))
        else:
            ask_policies(review, admission, self._store, self._catalog)
        hooks = [
            found
            for hook in hooks_of(self._store, mutating=review.mutating)
            if (found := matching(hook, review, self._store, self._catalog)) is not None
            and conditions_hold(found, review, admission, self._seen(found, review))
        ]
        for hook in hooks:
            if admission.dry_run and hook.webhook.get("sideEffects") not in _SILENT:
                msg = f'admission webhook "{hook.name}" does not support dry run'
                raise status.bad_request(msg)
        if review.mutating:
            new = await self._mutated(hooks, review, admission)
            new = policies.apply(new, again=True)
        else:
            # A real server asks them all at the same time.
            answers = await asyncio.gather(
                *(self._asked(hook, review, review.new, admission) for hook in hooks), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            new = review.new
        admission.answered(asked, new)

    async def convert(self, error: UnconvertedError, *, alone: bool = False) -> None:
        """Ask the webhook of a CRD to convert an object.

        Args:
            error: names the object.
            alone: whether to convert no other object; otherwise those that follow in a list are converted with it.

        Raises:
            Refusal: 500, it gave no answer, or converted nothing.
        """
        versions, wanted = error.versions, error.api_version
        objects = [error.manifest]
        if not alone:
            objects += [each for each in self._following(error) if versions.lacks(each, wanted)]
        uid = str(uuid.uuid4())
        request = {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}
        body = {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "request": request}
        webhook = {"clientConfig": versions.webhook.get("clientConfig") or {}, "timeoutSeconds": _CONVERSION_SECONDS}
        try:
            converted = _converted(await self._call(webhook, body), uid, wanted, objects)
        except _NoAnswerError as reason:
            kind = error.manifest.get("kind")
            msg = f"conversion webhook for {error.manifest['apiVersion']}, Kind={kind} failed: {reason}"
            raise status.failed(msg) from None
        for before, after in zip(objects, converted, strict=True):
            versions.note(before, after)

    def _following(self, error: UnconvertedError) -> list[dict[str, Any]]:
        """Return the stored objects that follow an object in a list."""
        name = (error.manifest["metadata"].get("namespace"), error.manifest["metadata"].get("name"))
        stored = iter(self._store.all(error.versions.storage).values())
        for each in stored:
            metadata = each.manifest["metadata"]
            if (metadata.get("namespace"), metadata["name"]) == name:
                return [other.manifest for other in itertools.islice(stored, _CONVERTED_TOGETHER - 1)]
        return []

    async def _mutated(self, hooks: list[Hook], review: Review, admission: Admission) -> dict[str, Any] | None:
        new = review.new
        left: dict[int, dict[str, Any] | None] = {}
        for place, hook in enumerate(hooks):
            new = left[place] = await self._asked(hook, review, new, admission)
        for place, hook in enumerate(hooks):
            if hook.webhook.get("reinvocationPolicy") == "IfNeeded" and left[place] != new:
                new = await self._asked(hook, review, new, admission)
        return new

    async def _asked(
        self, hook: Hook, review: Review, new: dict[str, Any] | None, admission: Admission
    ) -> dict[str, Any] | None:
        """Ask one webhook; returns the object as it has changed it.

        Raises:
            Refusal: it refused, or gave no answer.
        """
        kind, seen = review.kind, self._seen(hook, review)
        body = _review(review, kind, seen, new, admission)
        try:
            response = await self._call(hook.webhook, body)
            changed = _read(response, body["request"]["uid"], hook, admission)
            if changed is None or new is None:
                return new
            patched = apply_json_patch(in_version(seen, new), changed)
            return in_version(kind, patched) if seen is not kind else patched
        except _NoAnswerError as error:
            if hook.webhook.get("failurePolicy") == "Ignore":
                return new
            msg = f'Internal error occurred: failed calling webhook "{hook.name}": {error}'
            details = {"causes": [{"message": f'failed calling webhook "{hook.name}": {error}'}]}
            raise status.Refusal(500, msg, "InternalError", details) from None

    def _seen(self, hook: Hook, review: Review) -> ResourceType:
        """The resource in the version that a webhook wants it in."""
        versions = self._catalog.versions_of(review.kind.storage)
        return next((one for one in versions if one.version == hook.version), review.kind)

    async def _call(self, webhook: Mapping[str, Any], body: dict[str, Any]) -> Any:
        config, seconds = webhook.get("clientConfig") or {}, webhook.get("timeoutSeconds") or 10
        url, host = self._address(config)
        shown = f'failed to call webhook: Post "{url}?timeout={seconds}s"'
        try:
            async with (
                asyncio.timeout(seconds),
                self._open().post(
                    url,
                    params={"timeout": f"{seconds}s"},
                    data=msgspec.json.encode(body),
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    ssl=self._trust(config.get("caBundle") or ""),
                    server_hostname=host,
                    allow_redirects=False,
                ) as answer,
            ):
                read = await _whole(answer, shown)
                if answer.status != 200:
                    is_text = answer.headers.get("Content-Type", "text/").startswith("text/")
                    text = read.decode(errors="replace").strip() if is_text else "unknown"
                    msg = f"failed to call webhook: {_reason_of(answer.status, text)}"
                    raise _NoAnswerError(msg)
                return msgspec.json.decode(read)
        except TimeoutError:
            msg = f"{shown}: context deadline exceeded"
            raise _NoAnswerError(msg) from None
        except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
            msg = f"{shown}: {error}"
            raise _NoAnswerError(msg) from None

    def _address(self, config: Mapping[str, Any]) -> tuple[str, str | None]:
        service = config.get("service")
        if not service:
            return str(config.get("url", "")), None
        name = f"{service['namespace']}/{service['name']}"
        url = self.services.get(name)
        if url is None:
            msg = f'failed to call webhook: name it in the tests: server.webhook_services["{name}"] = "https://127.0.0.1:..."'
            raise _NoAnswerError(msg)
        return url.rstrip("/") + (service.get("path") or "/"), f"{service['name']}.{service['namespace']}.svc"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=Connector())
        return self._session

    def _trust(self, bundle: str) -> ssl.SSLContext:
        context = self._trusted.get(bundle)
        if context is None:
            context = ssl.create_default_context()
            if bundle:
                try:
                    context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
                except (ssl.SSLError, ValueError, binascii.Error):
                    raise _NoAnswerError("unable to load root certificates: no certificate in caBundle") from None
            # Go's verifier asks neither for the key identifiers that Python >= 3.13 wants nor for a root.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            self._trusted[bundle] = context
        return context


def _reason_of(code: int, text: str) -> str:
    """Return the words for an answer that is no review.

    apimachinery: pkg/api/errors/errors.go (NewGenericServerResponse).
    """
    return {
        400: "the server rejected our request for an unknown reason",
        401: "the server has asked for the client to provide credentials",
        404: "the server could not find the requested resource",
        413: f"Request entity too large: {text}",
        503: "the server is currently unable to handle the request",
        504: "the server was unable to return a response in the time allotted, but may still be processing the request",
    }.get(code) or (
        f"an error on the server ({json.dumps(text)}) has prevented the request from succeeding"
        if code >= 500
        else f"the server responded with the status code {code} but did not return more information"
    )


class _NoAnswerError(Exception):
    """A webhook gave no answer that can be used."""


def _review(
    review: Review, kind: ResourceType, seen: ResourceType, new: dict[str, Any] | None, admission: Admission
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": _kind(seen),
        "resource": _resource(seen),
        "requestKind": _kind(kind),
        "requestResource": _resource(kind),
        "operation": review.operation,
        "userInfo": _user_info(admission.user),
        "object": None if new is None else in_version(seen, new),
        "oldObject": None if review.old is None else in_version(seen, review.old),
        "dryRun": admission.dry_run,
        "options": admission.options,
    }
    if review.subresource:
        request |= {"subResource": review.subresource, "requestSubResource": review.subresource}
    if review.name:
        request["name"] = review.name
    if review.namespace:
        request["namespace"] = review.namespace
    return {"kind": "AdmissionReview", "apiVersion": _API, "request": request}


def _read(response: Any, uid: str, hook: Hook, admission: Admission) -> list[Any] | None:
    """The patch of an answer, or `None`.

    Raises:
        Refusal: the webhook refused.
        _NoAnswerError: it is no answer to this question.
    """
    answer = response.get("response") if isinstance(response, dict) else None
    if not isinstance(answer, dict) or response.get("kind") != "AdmissionReview" or response.get("apiVersion") != _API:
        raise _NoAnswerError("received invalid webhook response: expected webhook response of admission.k8s.io/v1")
    if answer.get("uid") != uid:
        msg = f'received invalid webhook response: expected response.uid="{uid}", got "{answer.get("uid", "")}"'
        raise _NoAnswerError(msg)
    admission.warnings += [str(each) for each in answer.get("warnings") or ()]
    if not answer.get("allowed"):
        raise _denied(hook.name, answer.get("status") or {})
    patch = answer.get("patch")
    if not patch:
        return None
    if not hook.mutating or answer.get("patchType") != "JSONPatch":
        raise _NoAnswerError("received invalid webhook response: a patch is neither allowed nor understood here")
    try:
        decoded = msgspec.json.decode(base64.b64decode(patch))
    except (ValueError, TypeError):
        raise _NoAnswerError("received invalid webhook response: the patch is no JSON in base64") from None
    return decoded if isinstance(decoded, list) else None


def _converted(response: Any, uid: str, wanted: str, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects of an answer, which may differ in their version, labels and annotations beside their content.

    Raises:
        _NoAnswerError: they are not those that were asked for.
    """
    answer = response.get("response") if isinstance(response, dict) else None
    if not isinstance(answer, dict) or answer.get("uid") != uid:
        raise _NoAnswerError("received invalid webhook response: no answer to this question")
    result = answer.get("result") or {}
    if result.get("status") != "Success":
        raise _NoAnswerError(str(result.get("message") or result.get("reason") or "no reason was given"))
    found = answer.get("convertedObjects") or []
    if len(found) != len(objects):
        msg = f"webhook returned {len(found)} objects, expected {len(objects)}"
        raise _NoAnswerError(msg)
    made = []
    for before, after in zip(objects, found, strict=True):
        if after.get("apiVersion") != wanted or after.get("kind") != before.get("kind"):
            msg = f"webhook returned an object of {after.get('apiVersion')}, expected {wanted}"
            raise _NoAnswerError(msg)
        metadata = dict(before["metadata"])
        for name in ("labels", "annotations"):
            metadata.pop(name, None)
            if value := (after.get("metadata") or {}).get(name):
                metadata[name] = value
        made.append(after | {"metadata": metadata})
    return made


async def _whole(answer: aiohttp.ClientResponse, shown: str) -> bytes:
    """Return the body of an answer, which comes in several parts if it is long.

    Raises:
        _NoAnswerError: it is too long.
    """
    read = bytearray()
    async for part in answer.content.iter_any():
        read += part
        if len(read) > _MOST_BYTES:
            msg = f"{shown}: the answer has more than {_MOST_BYTES} bytes"
            raise _NoAnswerError(msg)
    return bytes(read)


def _denied(name: str, result: Mapping[str, Any]) -> status.Refusal:
    """The refusal of a webhook, as the client gets it (apiserver admission/plugin/webhook/errors, ToStatusErr)."""
    why = result.get("message") or result.get("reason")
    text = f'admission webhook "{name}" denied the request'
    code = result.get("code") or 0
    return status.Refusal(
        max(code, 400),
        f"{text}: {why}" if why else f"{text} without explanation",
        str(result.get("reason") or ""),
        result.get("details"),
    )


def _kind(kind: ResourceType) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(kind: ResourceType) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def _user_info(user: User) -> dict[str, Any]:
    known = {"uid": user.uid, "groups": [*user.groups], "extra": dict(user.extra)}
    return {"username": user.name} | {name: value for name, value in known.items() if value}
