"""The kubeconfig that a command writes, without the loss of a file of another program."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_may_be_written", "kubeconfig_file"]

_OURS = "kinformer"


def check_may_be_written(path: Path) -> None:
    """Refuse to overwrite any file except an earlier kubeconfig of kinformer.

    Raises:
        UsageProblem: the file has other content.
    """
    if not path.exists():
        return
    # Imported here: most commands write a new file, and start without the memory of PyYAML.
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    clusters = content.get("clusters") if isinstance(content, dict) else None
    if isinstance(clusters, list) and [c.get("name") for c in clusters if isinstance(c, dict)] == [_OURS]:
        return
    msg = f"{path} exists and was not written by kinformer; name another file, or remove this one first"
    raise UsageProblem(msg)


@contextlib.contextmanager
def kubeconfig_file(wanted: Path | None) -> Iterator[Path]:
    """Return the requested file, or a temporary one that is removed with the server."""
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="kinformer-") as directory:
        yield Path(directory) / "kubeconfig"
