"""Lists: the selected objects, at a version, page by page."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.selectors import (
    Selection,
    parse_field_selector,
    parse_label_selector,
)
from kinformer.testing._apiserver.rules.shard_selectors import parse_shard_selector
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import in_order

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.requests import ListOptions, Target
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Key, Storage, Store, Stored
    from kinformer.testing.faults import Faults

__all__ = ["Lists", "selection_of"]

_ENCODING: Final = "meta.k8s.io/v1"


class _Scope(NamedTuple):
    """The scope of a list or a watch: a namespace, and the selectors."""

    namespace: str
    selects: Selection | None
    shard: str


def selection_of(target: Target, options: ListOptions) -> _Scope:
    """The objects that a list or a watch selects.

    Raises:
        Refusal: a selector does not parse.
    """
    by_labels = parse_label_selector(options.label_selector) if options.label_selector else None
    by_fields = parse_field_selector(options.field_selector, target.kind) if options.field_selector else None
    by_shard, shard = parse_shard_selector(options.shard_selector) if options.shard_selector else (None, "")
    tests: list[Selection] = []
    if by_labels is not None:
        tests.append(lambda manifest: by_labels(manifest["metadata"].get("labels") or {}))
    tests += [test for test in (by_fields, by_shard) if test is not None]
    if not tests:
        return _Scope(target.namespace, None, shard)
    selects = tests[0] if len(tests) == 1 else lambda manifest: all(test(manifest) for test in tests)
    return _Scope(target.namespace, selects, shard)


class Lists:
    """Answers lists from a store; keeps the snapshots that pages in progress are cut from."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._snapshots: OrderedDict[tuple[Storage, int, str], list[tuple[Key, Stored]]] = OrderedDict()

    def page(self, target: Target, options: ListOptions) -> tuple[list[Stored], dict[str, Any]]:
        """The objects of one page, and the list's metadata.

        Raises:
            Refusal: 400, 410, 422 or 504, as the API server refuses.
        """
        store, kind = self._store, target.kind
        scope = selection_of(target, options)
        wanted = options.version(watch=False)
        start = ""
        if options.continue_token:
            if options.resource_version not in {"", "0"}:
                raise status.bad_request("specifying resource version is not allowed when using continue")
            revision, start = self._continued(options.continue_token, target)
        elif wanted > (seen := store.revision - (self._faults.lagging if options.resource_version else 0)):
            raise status.version_too_large(wanted, seen)
        elif wanted and (options.match == "Exact" or (options.limit and not options.match)):
            if wanted < store.compacted:
                raise status.version_compacted()
            revision = wanted
        else:
            # A server that lags behind has a cache that lags behind; without a version, etcd itself is read.
            revision = max(seen, store.compacted)
        items: list[Stored] = []
        last = ""
        more = 0
        for key, stored in self._sorted(kind, revision, scope.namespace):
            place = _place(key, scope.namespace)
            if place < start or (scope.selects is not None and not scope.selects(stored.manifest)):
                continue
            if options.limit and len(items) == options.limit:
                more += 1
                if scope.selects is not None:
                    break
                continue
            items.append(self._faults.disguised(kind.plural, key, stored, custom=kind.custom))
            last = place
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if more:
            metadata["continue"] = _token(revision, last + "\0")
            if scope.selects is None:
                metadata["remainingItemCount"] = more
        if scope.shard:
            metadata["shardInfo"] = {"selector": scope.shard}
        return items, metadata

    def _continued(self, token: str, target: Target) -> tuple[int, str]:
        try:
            decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            revision, start = int(decoded["rv"]), str(decoded["start"]).removeprefix("/")
        except (ValueError, KeyError, TypeError):
            raise _unreadable(f"invalid character '{_first_sign(token)}' looking for beginning of value") from None
        del target
        if (version := decoded.get("v")) != _ENCODING:
            raise _unreadable(f"server does not recognize this encoded version {version or ''}")
        if revision == 0:
            raise _unreadable(f"incorrect encoded start resourceVersion (version {_ENCODING})")
        if not start:
            raise _unreadable(f"encoded start key empty (version {_ENCODING})")
        if revision < 0:
            return self._store.revision, start
        if revision < self._store.compacted:
            raise status.continue_expired(_token(-1, start))
        return revision, start

    def _sorted(self, kind: ResourceType, revision: int, namespace: str) -> list[tuple[Key, Stored]]:
        """Return the objects of a namespace, or of all, at a revision, in order."""
        name = (kind.storage, revision, namespace)
        found = self._snapshots.get(name)
        if found is None:
            if revision == self._store.revision:
                found = self._store.listed(kind.storage, namespace)
            else:
                then = in_order(self._store.at(kind.storage, revision))
                found = [item for item in then if namespace in {"", item[0][0]}]
            self._snapshots[name] = found
            while len(self._snapshots) > 8:
                self._snapshots.popitem(last=False)
        else:
            self._snapshots.move_to_end(name)
        return found


def _first_sign(token: str) -> str:
    """The first sign of a token that is no JSON, as Go shows it."""
    try:
        first = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:1]
    except ValueError:
        first = b""
    sign = first.decode("latin-1") or "\x81"
    return sign if sign.isascii() and sign.isprintable() else f"\\u{ord(sign):04x}"


def _unreadable(why: str) -> status.Refusal:
    return status.bad_request(f"invalid continue token: continue key is not valid: {why}")


def _place(key: Key, namespace: str) -> str:
    """The place of an object in a list, as continue tokens have it: relative to the place of the list in etcd."""
    return key[1] if namespace or not key[0] else f"{key[0]}/{key[1]}"


def _token(revision: int, start: str) -> str:
    document = json.dumps({"v": _ENCODING, "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")
