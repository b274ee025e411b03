"""The files of a new operator's project, from the texts in `template/`."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from kinformer._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NewProject", "UnfitNameError"]

_FILES: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    ".containerignore": "gitignore.txt",
    ".github/workflows/ci.yml": "ci.yml.txt",
    "@PACKAGE@/__init__.py": "init.py.txt",
    "@PACKAGE@/api.py": "api.py.txt",
    "@PACKAGE@/operator.py": "operator.py.txt",
    "tests/__init__.py": "",
    "tests/conftest.py": "conftest.py.txt",
    "tests/test_operator.py": "test_operator.py.txt",
    "tests/test_real.py": "test_real.py.txt",
}
"""The files, and the text of each."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,50}")
_GROUP: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_USED: Final = frozenset(
    {"Annotated", "Any", "ApiServer", "Awaitable", "Binaries", "BinariesNotFoundError", "Callable", "Client"}
    | {"ClusterConfig", "Column", "Controller", "ControlPlane", "CustomResource", "LeaderElector", "Manager"}
    | {"NotFoundError", "ObjectKey", "ObjectMeta", "Path", "Rule", "SharedInformerFactory"}
)
"""Names that the project's modules import."""


class UnfitNameError(ValueError):
    """A name that the project, its package or its custom resource cannot have. The message gives the reason."""


@dataclass(frozen=True)
class NewProject:
    """The project of a new operator.

    Attributes:
        name: the name of the project, of the operator, and of all its objects.
        group: the API group of the custom resource.
        kind: the kind of the custom resource.

    Raises:
        UnfitNameError: a name does not fit.
    """

    name: str
    group: str = "example.com"
    kind: str = "Website"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            similar = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-0123456789")[:40]
            instead = f"; {similar!r} would do" if _NAME.fullmatch(similar) else ""
            msg = (
                f"{self.name!r} cannot be the name of Kubernetes objects: write a lower-case letter, then letters, "
                f"digits and '-', at most 40{instead}"
            )
            raise UnfitNameError(msg)
        if keyword.iskeyword(self.package) or self.package == "tests":
            msg = f"{self.package!r} cannot be the name of a package; choose another, such as '{self.name}-operator'"
            raise UnfitNameError(msg)
        if importlib.util.find_spec(self.package) is not None:
            msg = f"there is a module {self.package!r} in this environment; choose another name"
            raise UnfitNameError(msg)
        if not _KIND.fullmatch(self.kind) or (self.kind.isupper() and len(self.kind) > 1):
            msg = f"the kind {self.kind!r} must be one word of letters and digits in camel case, as 'Website'"
            raise UnfitNameError(msg)
        if self.kind in _USED or keyword.iskeyword(self.kind):
            msg = f"the kind {self.kind!r} is a name that the project's modules use otherwise; choose another one"
            raise UnfitNameError(msg)
        if not _GROUP.fullmatch(self.group) or len(self.group) > 200:
            msg = f"the group {self.group!r} must be a domain name with a dot, as 'example.com'"
            raise UnfitNameError(msg)
        if self.group.endswith((".k8s.io", ".kubernetes.io")):
            msg = f"the group {self.group!r} belongs to the Kubernetes project; choose a domain of your own"
            raise UnfitNameError(msg)

    @property
    def package(self) -> str:
        """Return the name of the Python package."""
        return self.name.replace("-", "_")

    @property
    def target(self) -> str:
        """Return the argument of `kinformer run`."""
        return f"{self.package}.operator"

    def files(self) -> dict[str, str]:
        """Return the texts of the files by their path in the project."""
        return {self._filled(path): self._filled(_text(source)) for path, source in _FILES.items()}

    def _filled(self, text: str) -> str:
        words = {
            "NAME": self.name,
            "PACKAGE": self.package,
            "GROUP": self.group,
            "KIND": self.kind,
            "LOWER": self.kind.lower(),
            "VERSION": __version__,
        }
        return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)

    def create(self, folder: Path) -> list[Path]:
        """Write the files, and return their paths.

        Raises:
            FileExistsError: the folder exists and is not empty; nothing is written.
            OSError: a file cannot be written.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            msg = f"{folder} exists and is not an empty folder; nothing was written"
            raise FileExistsError(msg)
        made = []
        for path, text in self.files().items():
            at = folder / path
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(text, encoding="utf-8")
            made.append(at)
        return made


def _text(source: str) -> str:
    if not source:
        return ""
    return files("kinformer.manifests").joinpath("template", source).read_text(encoding="utf-8")
