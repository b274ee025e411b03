"""Bodies that a real kube-apiserver 1.36 stored, refused and wrote."""

from __future__ import annotations

import json
from typing import Any

from kinformer.testing._apiserver.schemas.go_types import Struct, Types
from kinformer.testing._apiserver.schemas.reading import Reader
from tests.paths import DATA

_RECORDED = json.loads((DATA / "bodies-1.36.json").read_text())
STORED: list[dict[str, Any]] = _RECORDED["stored"]
REFUSED: list[dict[str, Any]] = _RECORDED["refused"]
QUANTITIES: dict[str, str] = _RECORDED["quantities"]
TYPES = Types.of("1.36")
KINDS = sorted({(case["object"]["apiVersion"], case["object"]["kind"]) for case in STORED})


def struct_of(api_version: str, kind: str) -> Struct:
    """The struct of a kind that is there."""
    struct = TYPES.kind(api_version, kind)
    assert struct is not None
    return struct


def read(obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An object as it is written again, and the paths that its kind does not have."""
    reader = Reader()
    return reader.read(struct_of(obj["apiVersion"], obj["kind"]), obj), reader.unknown
