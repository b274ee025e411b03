"""Webhooks: functions that admit and convert objects, their answers to reviews, and their configurations."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload
from urllib.parse import parse_qs

import msgspec

from kinformer._object_classes import decoder_of, reason_of
from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.custom_resources import Conversions, is_custom_resource, manifest_of, resource_of
from kinformer.errors import ConversionError
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import Resource
from kinformer.status import class_of
from kinformer.webhooks._admission import AdmissionRequest, Allow, Answer, Deny, Patch
from kinformer.webhooks._patches import difference, rebase
from kinformer.webhooks._reviews import (
    MalformedReviewError,
    Question,
    admission_answer,
    conversion_answer,
    read_admission,
    read_conversion,
)
from kinformer.webhooks._rules import (
    OPERATIONS,
    Rules,
    ServiceAddress,
    as_tuple,
    client_config,
    dns_label,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["Webhooks"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a review: two objects of 3 MiB, which is the limit of the API server, may be escaped in it."""

_LONGEST: Final = 30.0
"""Seconds that the API server waits at most."""

_ADMISSION: Final = "admissionregistration.k8s.io/v1"


class Cache(Protocol):
    """An informer, as far as a webhook needs it."""

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until the cache is in sync."""
        ...


@dataclass(frozen=True)
class _Hook:
    """One function with its rules."""

    name: str
    path: str
    function: Callable[[Any], Awaitable[Answer]]
    rules: Rules
    decode: Callable[[Mapping[str, Any]], Any]
    manifest: Callable[[Any], dict[str, Any]]
    informers: tuple[Cache, ...]


class Webhooks:
    """Admission and conversion webhooks: plain functions, with the configurations that the API server needs.

        webhooks = Webhooks()

        @webhooks.validating(Website, informers=[websites])
        async def unique_domain(request: AdmissionRequest[Website]) -> Allow | Deny:
            others = websites.lister.by_index("domain", request.new.spec.domain)
            taken = [site for site in others if site.metadata.uid != request.new.metadata.uid]
            return Deny("another website has this domain") if taken else Allow()

    It is an ASGI application, to be mounted in FastAPI or Starlette behind HTTPS. `WebhookServer` serves it for the
    `Manager`. Each function has a path of its own: "/validate/unique-domain".

    Functions run on the event loop, many at the same time. A function that raises, or takes longer than the API server
    waits, gives no answer (HTTP 500 and 504); then the failure policy of the webhook decides.

    Args:
        name: the name of the configurations.
        prefix: a path before all paths, if the application is mounted below it.
    """

    def __init__(self, name: str = "kinformer", *, prefix: str = "") -> None:
        self._name = name
        self._prefix = prefix.rstrip("/")
        self._hooks: dict[str, _Hook] = {}
        self._conversions: dict[str, Conversions] = {}

    def __repr__(self) -> str:
        return f"<Webhooks {self._name!r} paths={self.paths}>"

    @property
    def name(self) -> str:
        """The name of the configurations."""
        return self._name

    @property
    def paths(self) -> list[str]:
        """The paths that are answered."""
        return [*self._hooks, *self._conversions]

    @property
    def converted(self) -> list[str]:
        """The names of the CustomResourceDefinitions whose objects are converted."""
        return [each.resource.qualified for each in self._conversions.values()]

    @overload
    def validating(
        self, target: type[T], /, **options: Any
    ) -> Callable[
        [Callable[[AdmissionRequest[T]], Awaitable[Allow | Deny]]],
        Callable[[AdmissionRequest[T]], Awaitable[Allow | Deny]],
    ]: ...

    @overload
    def validating(
        self, target: Resource, /, **options: Any
    ) -> Callable[
        [Callable[[AdmissionRequest[KubeObject]], Awaitable[Allow | Deny]]],
        Callable[[AdmissionRequest[KubeObject]], Awaitable[Allow | Deny]],
    ]: ...

    def validating(self, target: type | Resource, /, **options: Any) -> Any:
        """Take a function that admits or refuses writes; it sees the object as it is to be stored.

        Args:
            target: a class of custom resources, or a `Resource`, the objects of which are `KubeObject`s then.
            options: as of `mutating`, but for `reinvocation`.

        Raises:
            TypeError: the target is neither, or the function is no coroutine function.
            ValueError: an option has a value that the API server does not take; or two functions have one name.
        """
        return self._taking(target, mutating=False, options=options)

    @overload
    def mutating(
        self, target: type[T], /, **options: Any
    ) -> Callable[
        [Callable[[AdmissionRequest[T]], Awaitable[Answer]]], Callable[[AdmissionRequest[T]], Awaitable[Answer]]
    ]: ...

    @overload
    def mutating(
        self, target: Resource, /, **options: Any
    ) -> Callable[
        [Callable[[AdmissionRequest[KubeObject]], Awaitable[Answer]]],
        Callable[[AdmissionRequest[KubeObject]], Awaitable[Answer]],
    ]: ...

    def mutating(self, target: type | Resource, /, **options: Any) -> Any:
        """Take a function that may change an object before it is validated and stored.

        Args:
            target: a class of custom resources, or a `Resource`.
            options:
                operations: some of "CREATE", "UPDATE", "DELETE"; by default the first two.
                subresource: such as "status"; by default writes of the object itself.
                failure_policy: "Fail" (the default) refuses writes while the webhook cannot be reached, "Ignore"
                    admits them.
                side_effects: "None" (the default), or "NoneOnDryRun" for a function that looks at `dry_run`.
                timeout: seconds that the API server waits, 1 to 30; 10 by default.
                reinvocation: "IfNeeded" to be called again when a later webhook has changed the object.
                namespace_selector, object_selector: label selectors as in a manifest (`{"matchLabels": {...}}`).
                match_conditions: expressions in CEL by name; all must be true.
                informers: the caches that the function reads; it is called once they are in sync.
                name: by default the name of the function.

        Raises:
            TypeError: the target is neither, or the function is no coroutine function.
            ValueError: an option has a value that the API server does not take; or two functions have one name.
        """
        return self._taking(target, mutating=True, options=options)

    def _taking(self, target: type | Resource, *, mutating: bool, options: Mapping[str, Any]) -> Any:
        resource, decode, manifest = _form_of(target)
        known = dict(options)
        informers: Sequence[Cache] = known.pop("informers", ())
        name = known.pop("name", "")
        operations = as_tuple(known.pop("operations", OPERATIONS[:2]))
        rules = Rules(mutating=mutating, resource=resource, operations=operations, **known)

        def decorate(function: Callable[[Any], Awaitable[Answer]]) -> Callable[[Any], Awaitable[Answer]]:
            called = name or getattr(function, "__name__", "webhook")
            if not inspect.iscoroutinefunction(function):
                msg = f"{called} must be a coroutine function: async def {called}(request): ..."
                raise TypeError(msg)
            path = f"{self._prefix}/{'mutate' if mutating else 'validate'}/{dns_label(called)}"
            if path in self._hooks:
                msg = f"two webhooks have the name {called!r}; give one of them another with name="
                raise ValueError(msg)
            self._hooks[path] = _Hook(called, path, function, rules, decode, manifest, tuple(informers))
            return function

        return decorate

    def convert(self, conversions: Conversions) -> None:
        """Take the conversions of a custom resource.

        Raises:
            ValueError: a version lacks a function, or there are conversions of this resource already.
        """
        conversions.check()
        path = self._path_of(conversions)
        if path in self._conversions:
            msg = f"there are conversions of {conversions.resource.qualified} already"
            raise ValueError(msg)
        self._conversions[path] = conversions

    def _path_of(self, conversions: Conversions) -> str:
        return f"{self._prefix}/convert/{conversions.resource.qualified}"

    def client_config(
        self, conversions: Conversions, at: ServiceAddress | str, authority: bytes = b""
    ) -> dict[str, Any]:
        """Return where the API server asks for conversions: `client.install(conversions, conversion=...)`.

        Args:
            conversions: conversions that `convert` has taken.
            at: the Service, or the URL, by which the API server reaches the webhooks.
            authority: the certificates of the authority in PEM.

        Raises:
            ValueError: `convert` has not taken them.
        """
        path = self._path_of(conversions)
        if self._conversions.get(path) is not conversions:
            msg = f"these webhooks do not convert {conversions.resource.qualified}: call webhooks.convert(...) first"
            raise ValueError(msg)
        return client_config(at, path, authority)

    def configurations(self, at: ServiceAddress | str, authority: bytes = b"", **metadata: Any) -> list[dict[str, Any]]:
        """Return the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration, as plain data.

        A configuration without a webhook is left out.

        Args:
            at: the Service, or the URL, by which the API server reaches the webhooks.
            authority: the certificates of the authority in PEM. Without it, another program fills them in:
                `CertificateSecret`, or cert-manager by the annotation "cert-manager.io/inject-ca-from".
            metadata: further fields of the metadata, such as `annotations` and `labels`.
        """
        found = []
        for mutating, kind in ((True, "MutatingWebhookConfiguration"), (False, "ValidatingWebhookConfiguration")):
            entries = [
                hook.rules.manifest(hook.name, client_config(at, hook.path, authority))
                for hook in self._hooks.values()
                if hook.rules.mutating is mutating
            ]
            if entries:
                named = {"name": self._name} | metadata
                found.append({"apiVersion": _ADMISSION, "kind": kind, "metadata": named, "webhooks": entries})
        return found

    def definitions(self, at: ServiceAddress | str, authority: bytes = b"") -> list[dict[str, Any]]:
        """Return the CustomResourceDefinitions of all conversions, with the webhook that converts.

        Args:
            at: the Service, or the URL, by which the API server reaches the webhooks.
            authority: the certificates of the authority in PEM.
        """
        return [conversions.crd(client_config(at, path, authority)) for path, conversions in self._conversions.items()]

    # Answers

    async def answer(self, path: str, body: bytes, *, timeout: float | None = None) -> tuple[int, bytes]:
        """Answer a review, without HTTP.

        Args:
            path: the path of the function.
            body: an AdmissionReview or a ConversionReview in JSON.
            timeout: seconds that the API server waits; 30 if unknown.

        Returns:
            The HTTP status, and the body: an answer to the review in JSON if the status is 200, otherwise a sentence.
        """
        path = path.rstrip("/")
        hook, conversions = self._hooks.get(path), self._conversions.get(path)
        limit = asyncio.timeout(min(timeout or _LONGEST, _LONGEST))
        try:
            async with limit:
                if hook is not None:
                    return 200, await self._admitted(hook, read_admission(body))
                if conversions is not None:
                    return 200, await _converted(conversions, body)
        except MalformedReviewError as error:
            return 400, _error(str(error))
        except BaseException as error:
            if isinstance(error, TimeoutError) and limit.expired():
                _log.error("the webhook %s gave no answer in time", path)
                return 504, _error("the webhook gave no answer in time")
            # Any defect of a function; then the failure policy decides.
            if not is_survivable(error):
                raise
            _log.error("the webhook %s failed", path, exc_info=error)
            # The class alone: the client of the API server reads this, and a text may have anything in it.
            return 500, _error(f"{path} failed with {class_of(error)}; the log of the operator has the traceback")
        return 404, _error(f"the paths are {', '.join(self.paths)}")

    async def _admitted(self, hook: _Hook, asked: Question) -> bytes:
        for informer in hook.informers:
            await informer.synced()
        try:
            obj = None if asked.manifest is None else hook.decode(asked.manifest)
        except ValueError as error:
            # For a patch, nothing may be lost of an object that the class does not understand.
            return admission_answer(asked.uid, Deny(reason_of(error), 422, "Invalid"), [])
        request = AdmissionRequest[Any](
            uid=asked.uid,
            operation=asked.operation,
            key=ObjectKey(asked.namespace, asked.name),
            object=obj,
            manifest=asked.manifest,
            old_manifest=asked.old_manifest,
            user=asked.user,
            dry_run=asked.dry_run,
            subresource=asked.subresource,
            _decode=hook.decode,
        )
        answer: Any = await hook.function(request)
        if not isinstance(answer, Allow | Deny) and not (isinstance(answer, Patch) and hook.rules.mutating):
            allowed = "Allow, Deny or Patch" if hook.rules.mutating else "Allow or Deny"
            msg = f"the webhook {hook.name} returned {type(answer).__name__}; it must return {allowed}"
            raise TypeError(msg)
        patch = self._patch(hook, asked, answer.object) if isinstance(answer, Patch) else []
        return admission_answer(asked.uid, answer, patch)

    @staticmethod
    def _patch(hook: _Hook, asked: Question, changed: Any) -> list[dict[str, Any]]:
        full = asked.manifest
        if full is None:
            msg = f"the webhook {hook.name} returned a Patch for a deletion"
            raise TypeError(msg)
        if isinstance(changed, dict):
            return difference(full, changed)
        # The object of the request may be the one that was changed; so the one before is decoded anew.
        before = hook.manifest(hook.decode(full))
        return difference(full, rebase(full, before, hook.manifest(changed)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI application."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await _lifespan(receive, send)
                return
            msg = f"webhooks answer HTTP alone, not {scope['type']}"
            raise RuntimeError(msg)
        status, body = await self._respond(scope, receive)
        headers = [(b"content-type", media_type_of(status).encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Any, receive: Any) -> tuple[int, bytes]:
        if scope["method"] != "POST":
            return 405, _error("the API server sends reviews by POST")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 400, _error("the client has gone")
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                return 413, _error(f"a review has at most {MOST_BYTES} bytes")
            if not message.get("more_body"):
                break
        path: str = scope["path"]
        mounted: str = scope.get("root_path", "")
        if mounted and path.startswith(mounted) and path not in self.paths:
            path = path.removeprefix(mounted)
        return await self.answer(
            path, bytes(body), timeout=timeout_of(scope.get("query_string", b"").decode("latin-1"))
        )


def timeout_of(query: str) -> float | None:
    """Return the seconds of `timeout=10s` in a query; `None` if there is none, or not in seconds."""
    given = parse_qs(query).get("timeout", [""])[0]
    try:
        seconds = float(given.removesuffix("s"))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def media_type_of(status: int) -> str:
    """Return the media type of an answer. Of errors, the API server shows the text of those which are plain text.

    client-go: rest/request.go (isTextResponse).
    """
    return "application/json" if status == 200 else "text/plain"


def _error(text: str) -> bytes:
    return text.encode()


async def _converted(conversions: Conversions, body: bytes) -> bytes:
    uid, wanted, objects = read_conversion(body)
    converted = []
    time_slice = TimeSlice()
    await time_slice.begin()
    for obj in objects:
        try:
            converted.append(conversions.convert(obj, wanted))
        except ConversionError as error:
            metadata = obj.get("metadata") or {}
            key = ObjectKey(metadata.get("namespace", ""), metadata.get("name", ""))
            _log.exception("%s %s cannot be converted to %s", conversions.resource.qualified, key, wanted)
            return conversion_answer(uid, [], str(error))
        if time_slice.over:
            await time_slice.begin()
    return conversion_answer(uid, converted)


def _form_of(target: type | Resource) -> tuple[Resource, Callable[..., Any], Callable[[Any], dict[str, Any]]]:
    if isinstance(target, Resource):
        resource = target
        return resource, lambda manifest: KubeObject.from_dict(_named(manifest), resource), KubeObject.to_dict
    if not is_custom_resource(target):
        msg = f"{target!r} is neither a Resource nor a class with @custom_resource"
        raise TypeError(msg)
    decode: Callable[[bytes], Any] = decoder_of(target)
    return resource_of(target), lambda manifest: decode(msgspec.json.encode(manifest)), manifest_of


def _named(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give an object a name for decoding, if the server is still to generate one."""
    metadata = manifest.get("metadata") or {}
    if metadata.get("name"):
        return manifest
    return {**manifest, "metadata": {**metadata, "name": metadata.get("generateName") or "unnamed"}}


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
