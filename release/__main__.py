"""Check a release, up to the upload: `python -m release [--tag v1.2.3] [--environment PYTHON]`.

Builds the wheel and the sdist twice and compares them, checks their metadata and their description, takes the notes
out of CHANGELOG.md and makes the bill of materials. The files are in dist/, the notes and the bill in build/release/.
With --tag, the tag must name the version, and the changelog must have its section.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

from kinformer._version import __version__
from release.artifacts import ArtifactError, build_twice, check_metadata, metadata_of
from release.changelog import ChangelogError, notes_of
from release.sbom import SbomError, make_sbom

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
OUT = ROOT / "build" / "release"


def main(arguments: list[str] | None = None) -> int:
    """Run all checks; return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--tag", default="", help="the tag of the release: v and the version")
    parser.add_argument("--environment", type=Path, help="the Python of an environment with the wheel, for the SBOM")
    options = parser.parse_args(arguments)
    if options.tag and options.tag != f"v{__version__}":
        print(f"the tag {options.tag} does not name the version {__version__} of kinformer/_version.py")
        return 1
    scratch = OUT / "builds"
    shutil.rmtree(OUT, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        files = build_twice(ROOT, scratch, DIST)
        print(*(f"built twice, the same bytes: {path.name}" for path in files), sep="\n")
        (wheel,) = (path for path in files if path.suffix == ".whl")
        check_metadata(wheel, __version__)
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, files)], check=True)
        notes = notes_of((ROOT / "CHANGELOG.md").read_text(), __version__, or_unreleased=not options.tag)
        (OUT / "notes.md").write_text(notes)
        print(f"notes of {__version__}: {len(notes.splitlines())} lines")
        if options.environment is not None:
            names = frozenset(map(canonicalize_name, _core(wheel))) | {"kinformer"}
            document = make_sbom(options.environment, OUT / "sbom.cdx.json", expected=names)
            print(f"bill of materials: {len(document['components'])} components")
    except (ArtifactError, ChangelogError, SbomError, subprocess.CalledProcessError) as error:
        print(f"not ready for a release: {error}")
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _core(wheel: Path) -> list[str]:
    """Return the names of the packages that a wheel needs without extras."""
    return [requirement.name for requirement in metadata_of(wheel).requires_dist or () if requirement.marker is None]


if __name__ == "__main__":
    sys.exit(main())
