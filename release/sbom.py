"""Make the software bill of materials (CycloneDX 1.6, JSON) of an environment in which the wheel is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SbomError", "make_sbom"]


class SbomError(Exception):
    """A bill of materials that lacks a component."""


def make_sbom(python: Path, target: Path, *, expected: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Write the components of an environment to `target`, and return the document.

    The document is reproducible: it has no time and no serial number.

    Args:
        python: the interpreter of the environment.
        target: the file.
        expected: normalized names of components that must be there.

    Raises:
        SbomError: an expected component is missing.
        subprocess.CalledProcessError: cyclonedx-py failed.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of", "JSON"]
    subprocess.run([*command, "--sv", "1.6", "-o", str(target), str(python)], check=True, stderr=subprocess.DEVNULL)
    document: dict[str, Any] = json.loads(target.read_text())
    missing = expected - {canonicalize_name(component["name"]) for component in document.get("components", ())}
    if missing:
        msg = f"{target.name} lacks {', '.join(sorted(missing))}"
        raise SbomError(msg)
    return document
