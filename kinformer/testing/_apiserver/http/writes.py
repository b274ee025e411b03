"""Writes over HTTP: create, update, patch, apply, delete, and the subresources that are posted."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.answers import json_answer, list_answer, object_answer
from kinformer.testing._apiserver.http.duplicate_fields import doubled_keys, fields_of_doubled
from kinformer.testing._apiserver.http.pod_subresources import post_to_pod
from kinformer.testing._apiserver.http.requests import ListOptions, decode_applied, decode_body, is_true, media_type
from kinformer.testing._apiserver.http.warnings import KEPT_PODS, format_warnings, warn, warnings_of
from kinformer.testing._apiserver.rules.bodies import ReadBody, as_object, patched_kind_fault, read_built_in
from kinformer.testing._apiserver.rules.causes import too_long
from kinformer.testing._apiserver.rules.json_patch import apply_json_patch
from kinformer.testing._apiserver.rules.life_cycle import CRDS, JOBS, DeleteOptions
from kinformer.testing._apiserver.rules.patches import apply_merge_patch, apply_strategic_patch
from kinformer.testing._apiserver.rules.scale import applied_scale, read_scale, written_scale
from kinformer.testing._apiserver.rules.webhooks import Admission, UnansweredError
from kinformer.testing._apiserver.rules.writing import Write, faults_in_order, name_suffix
from kinformer.testing._apiserver.schemas.reading import ReadError
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.custom_versions import UnconvertedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from aiohttp import web

    from kinformer.testing._apiserver.http.reads import Lists
    from kinformer.testing._apiserver.http.requests import Target
    from kinformer.testing._apiserver.http.webhooks import WebhookCaller
    from kinformer.testing._apiserver.rules.rbac import User
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.rules.webhooks import Review
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Stored

__all__ = ["APPLY", "Writes", "manager_of"]

_MOST_QUESTIONS: Final = 1000
"""The times that a write is carried out anew: a deletion of a collection asks twice for each object."""
APPLY: Final = {"application/apply-patch+yaml"}
_LONGEST_MANAGER: Final = 128
_UNMARSHALLED: Final = "yaml: unmarshal errors:"


class Writes:
    """Answers requests that write.

    Args:
        registry: the rules.
        lists: answers lists, of which a deletion of a collection deletes the objects.
        clock: the time.
        webhooks: asks webhooks.
    """

    def __init__(
        self, registry: Registry, lists: Lists, clock: Callable[[], datetime], webhooks: WebhookCaller
    ) -> None:
        self._registry = registry
        self._lists = lists
        self._clock = clock
        self._webhooks = webhooks

    async def answer(
        self, request: web.BaseRequest, target: Target, verb: str, body: bytes, user: User
    ) -> web.Response:
        """Carry out a write, again and again until the webhooks have answered all questions about it.

        Raises:
            Refusal: as the rules or webhooks refuse it.
        """
        query = request.query
        if query.get("dryRun", "All") != "All":
            raise status.dry_run_unknown(verb, query["dryRun"])
        admission = self._admission(request, target, verb, user)
        suffix = name_suffix() if verb == "create" else ""
        identity = (str(uuid.uuid4()), suffix, self._registry.now(), user)
        for _ in range(_MOST_QUESTIONS):
            try:
                made = self._carried_out(request, target, verb, body, admission, identity)
            except UnconvertedError as error:
                await self._webhooks.convert(error, alone=True)
                continue
            except UnansweredError as error:
                if admission is None:
                    raise
                await self._ask(error.review, admission)
                continue
            return made
        raise status.conflict(target.kind, target.name)

    async def _ask(self, review: Review, admission: Admission) -> None:
        try:
            await self._webhooks.ask(review, admission)
        except UnconvertedError as error:
            # A webhook wants another version of the object; it is asked when there is one.
            await self._webhooks.convert(error, alone=True)
        finally:
            warn(*admission.warnings)

    def _admission(self, request: web.BaseRequest, target: Target, verb: str, user: User) -> Admission | None:
        if target.subresource not in {"", "status"} or not self._webhooks.is_used():
            return None
        options = {"kind": _OPTIONS.get(verb, "DeleteOptions"), "apiVersion": "meta.k8s.io/v1"}
        options |= {name: value for name in ("fieldManager", "fieldValidation") if (value := request.query.get(name))}
        dry_run = bool(request.query.get("dryRun"))
        given: dict[str, Any] = options | ({"dryRun": ["All"]} if dry_run else {})
        return Admission(user=user, dry_run=dry_run, options=given, subresource=target.subresource)

    def _carried_out(
        self,
        request: web.BaseRequest,
        target: Target,
        verb: str,
        body: bytes,
        admission: Admission | None,
        identity: tuple[str, str, str, User],
    ) -> web.Response:
        query = request.query
        if verb in {"delete", "deletecollection"}:
            return self._delete(request, target, verb, body, admission)
        content_type = request.headers.get("Content-Type", "")
        validation = _validation(verb, query)
        _check_manager(verb, query.get("fieldManager", ""))
        media = media_type(content_type)
        fields = [] if validation == "Ignore" else fields_of_doubled(body, media)
        faults = faults_in_order(fields, ())
        if validation != "Ignore" and media.endswith("yaml"):
            keys = doubled_keys(body)
            faults = [_UNMARSHALLED + "\n  ".join(["", *keys])] if keys and validation == "Strict" else keys
        write = Write(
            manager_of(request),
            target.subresource,
            dry_run=bool(query.get("dryRun")),
            patched=verb == "patch" and media not in APPLY,
            field_validation=validation,
            fields=fields,
            faults=faults,
            admission=admission,
            uid=identity[0],
            suffix=identity[1],
            now=identity[2],
            user=identity[3],
        )
        try:
            return self._written(request, target, verb, body, write)
        finally:
            # A request that is refused is warned of, too.
            if validation == "Warn":
                warn(*write.faults)

    def _written(self, request: web.BaseRequest, target: Target, verb: str, body: bytes, write: Write) -> web.Response:
        content_type = request.headers.get("Content-Type", "")
        if verb == "patch" and write.patched:
            return self._patch(request, target, body, write)
        given = (
            decode_applied(body)
            if verb == "patch"
            else decode_body(body, content_type, target.kind.kind, target.kind.types)
        )
        known = self._registry.store.get(target.kind.storage, (target.namespace, target.name))
        try:
            if verb == "create":
                return self._create(request, target, given, write)
            if verb == "patch" and write.faults and write.field_validation == "Strict":
                raise status.bad_request(
                    f"error strict decoding YAML: error converting YAML to JSON: {write.faults[0]}"
                )
            if verb == "patch":
                return self._apply(request, target, given, write)
            return self._update(request, target, given, write)
        except status.Refusal as refusal:
            if refusal.code != HTTPStatus.CONFLICT:
                # What breaks a rule is not warned of.
                given = None
            raise
        finally:
            warn(*warnings_of(target.kind, given))
            if target.kind.storage == CRDS:
                warn(*format_warnings(given, known and known.manifest))

    def _object(
        self, request: web.BaseRequest, target: Target, stored: Stored, *, is_new: bool = False
    ) -> web.Response:
        code = 201 if is_new else 200
        if target.subresource == "scale":
            return json_answer(read_scale(target.kind, stored.manifest), code=code)
        return object_answer(request, target.kind, stored, now=self._clock(), code=code)

    def _create(self, request: web.BaseRequest, target: Target, body: Any, write: Write) -> web.Response:
        if target.subresource:
            return json_answer(post_to_pod(self._registry, target, body), code=201)
        made = self._registry.create(target.kind, _place(target), body, write)
        return self._object(request, target, made, is_new=True)

    def _update(self, request: web.BaseRequest, target: Target, body: Any, write: Write) -> web.Response:
        if target.subresource == "scale":
            current = self._registry.get(target.kind, target.namespace, target.name)
            body = written_scale(target.kind, current.manifest, body)
        stored, is_new = self._registry.update(target.kind, target.namespace, target.name, body, write)
        return self._object(request, target, stored, is_new=is_new)

    def _apply(self, request: web.BaseRequest, target: Target, body: Any, write: Write) -> web.Response:
        if not request.query.get("fieldManager"):
            cause = ("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise status.invalid("PatchOptions", "", [cause], group="meta.k8s.io")
        if target.subresource == "scale":
            body = applied_scale(target.kind, target.name, body)
        stored, is_new = self._registry.apply(
            *(target.kind, target.namespace, target.name, body, write),
            force=is_true(request.query.get("force", "false")),
        )
        return self._object(request, target, stored, is_new=is_new)

    def _patch(self, request: web.BaseRequest, target: Target, body: bytes, write: Write) -> web.Response:
        kind = target.kind
        current = self._registry.get(kind, target.namespace, target.name)
        before = read_scale(kind, current.manifest) if target.subresource == "scale" else current.manifest
        media, content = request.headers.get("Content-Type", ""), None
        if media_type(media) == "application/merge-patch+json":
            content = _decoded(body, media, kind)
        wanted = _patched(before, body, request.headers.get("Content-Type", ""), target)
        if not kind.custom:
            _check_patched_kind(wanted, before, target, content)
        if target.subresource == "scale":
            wanted = written_scale(kind, current.manifest, wanted)
            write = replace(write, patch=content)
        elif kind.custom:
            write = replace(write, patch=content)
        else:
            unknown: list[str] = []
            try:
                read = read_built_in(kind, as_object(wanted, kind.kind), unknown)
            except ReadError as error:
                raise status.unreadable_patch(wanted, str(error), content) from None
            write = replace(write, patch=content, read=ReadBody(read, unknown))
        stored, _ = self._registry.update(kind, target.namespace, target.name, wanted, write)
        if kind.storage == CRDS:
            warn(*format_warnings(wanted, current.manifest))
        return self._object(request, target, stored)

    def _delete(
        self, request: web.BaseRequest, target: Target, verb: str, body: bytes, admission: Admission | None
    ) -> web.Response:
        registry, kind, query = self._registry, target.kind, request.query
        given = None
        if body.strip():
            types = self._registry.catalog.types
            given = decode_body(body, request.headers.get("Content-Type", ""), "DeleteOptions", types)
        options = DeleteOptions.read(given, query)
        dry_run = bool(query.get("dryRun"))
        if kind.storage == JOBS and verb == "delete" and not options.propagation_policy:
            warn(KEPT_PODS)
        if verb == "delete":
            if admission is not None and options.dry_run:
                admission.dry_run = True
            deleted = registry.delete(
                kind, target.namespace, target.name, options, dry_run=dry_run, admission=admission
            )
            return json_answer(deleted)
        _place(target)
        # Only the objects of one page are deleted.
        chosen, listed = self._lists.page(target, ListOptions.parse(query))
        named = (stored.manifest["metadata"] for stored in chosen)
        keys = [(metadata.get("namespace") or "", metadata["name"]) for metadata in named]
        if admission is not None:
            # All questions come before the first deletion, as the request is carried out anew after each.
            for key in keys:
                registry.admit_deletion(kind, *key, admission)
        for key in keys:
            if registry.store.get(kind.storage, key) is not None:
                registry.delete(kind, *key, options, dry_run=dry_run)
        return list_answer(request, kind, chosen, listed, now=self._clock())


def manager_of(request: web.BaseRequest) -> str:
    """The name of the manager: that of the query, or the first part of the User-Agent."""
    agent = request.headers.get("User-Agent", "unknown")
    return request.query.get("fieldManager") or agent.partition("/")[0][:_LONGEST_MANAGER] or "unknown"


_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
_OPTIONS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


def _validation(verb: str, query: Mapping[str, str]) -> str:
    """The treatment of undeclared fields: "Warn" if the query names none (KEP-2885).

    Raises:
        Refusal: 422, no such way.
    """
    given = query.get("fieldValidation", "")
    if given not in _VALIDATIONS:
        shown = ", ".join(f'"{way}"' for way in _VALIDATIONS)
        cause = (
            "FieldValueNotSupported",
            f'Unsupported value: "{given}": supported values: {shown}',
            "fieldValidation",
        )
        raise status.invalid(_OPTIONS[verb], "", [cause], group="meta.k8s.io")
    return given or "Warn"


def _check_manager(verb: str, manager: str) -> None:
    """Refuse the name of a manager that is too long, or that cannot be printed (meta/v1/validation).

    Raises:
        Refusal: 422.
    """
    causes = [too_long("fieldManager", _LONGEST_MANAGER)] if len(manager.encode()) > _LONGEST_MANAGER else []
    wrong = next((at for at, sign in enumerate(manager) if not sign.isprintable()), None)
    if wrong is not None:
        shown = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in manager)
        why = f"invalid character U+{ord(manager[wrong]):04X} (at position {wrong})"
        causes.append(("FieldValueInvalid", f'Invalid value: "{shown}": {why}', "fieldManager"))
    if causes:
        raise status.invalid(_OPTIONS[verb], "", causes, group="meta.k8s.io")


def _place(target: Target) -> str:
    """The namespace to write to: the path of all namespaces can only be listed.

    Raises:
        Refusal: 405.
    """
    if target.kind.namespaced and not target.namespace:
        raise status.method_not_allowed()
    return target.namespace


_PATCHES_OF_CUSTOM_RESOURCES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)


def _patched(current: dict[str, Any], body: bytes, content_type: str, target: Target) -> Any:
    media = media_type(content_type)
    if media == "application/merge-patch+json":
        return apply_merge_patch(current, _patch_of(body, media, target.kind))
    if media == "application/json-patch+json":
        return apply_json_patch(current, _decoded(body, media, target.kind))
    if media == "application/strategic-merge-patch+json":
        if target.kind.custom:
            raise status.unsupported_media_type(*_PATCHES_OF_CUSTOM_RESOURCES)
        patched = apply_strategic_patch(current, _patch_of(body, media, target.kind), target.kind.structure)
        # The patch is laid over a typed object: another kind, or another version, in it counts for nothing.
        names = [name for name in ("apiVersion", "kind") if isinstance(patched.get(name), str)]
        return patched | {name: current[name] for name in names}
    raise status.unsupported_media_type()


def _check_patched_kind(wanted: Any, before: dict[str, Any], target: Target, content: Any) -> None:
    """Refuse a patch that makes another kind of an object, or that takes its version away.

    Raises:
        Refusal: 400, 422.
    """
    if not isinstance(wanted, dict):
        return
    if not wanted.get("apiVersion"):
        # Without a version the object is read as one that has nothing.
        why = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(why)
    why = patched_kind_fault(wanted, before["kind"], before["apiVersion"], target.kind.types)
    if why:
        raise status.unreadable_patch(wanted, why, content)
    if wanted["apiVersion"] != before["apiVersion"] and isinstance(wanted["apiVersion"], str):
        wanted["apiVersion"] = before["apiVersion"]


_PARSE_ERROR: Final = re.compile(r"json parse error: (.*?) \(", re.DOTALL)


def _decoded(body: bytes, media: str, kind: ResourceType) -> Any:
    """The body of a patch.

    Raises:
        Refusal: 400, it is no JSON.
    """
    try:
        return decode_body(body, media, kind.kind, kind.types)
    except status.Refusal as refusal:
        found = _PARSE_ERROR.search(refusal.message)
        if found is None:
            raise
        prefix = "" if media_type(media) == "application/strategic-merge-patch+json" else "error decoding patch: "
        raise status.bad_request(prefix + found[1]) from None


def _patch_of(body: bytes, media: str, kind: ResourceType) -> dict[str, Any]:
    """The body of a merge patch of an object, which must be an object itself.

    Raises:
        Refusal: 400.
    """
    patch = _decoded(body, media, kind)
    if patch is None and media != "application/merge-patch+json":
        # It changes nothing.
        return {}
    if not isinstance(patch, dict):
        found = {list: "array", str: "string", bool: "bool", type(None): "null"}.get(type(patch), "number")
        why = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        if media != "application/merge-patch+json":
            raise status.bad_request(why)
        raise status.bad_request("Invalid JSON Patch" if patch is None else f"error decoding patch: {why}")
    return patch
