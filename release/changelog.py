"""Take the notes of one release out of CHANGELOG.md."""

from __future__ import annotations

import re

__all__ = ["ChangelogError", "notes_of"]

_HEADING = re.compile(r"^## +\[?(?P<title>[^\]\s]+)\]?(?P<rest>.*)$", re.MULTILINE)


class ChangelogError(Exception):
    """A changelog without the notes of a release; the message names the versions that it has."""


def notes_of(changelog: str, version: str, *, or_unreleased: bool = False) -> str:
    """Return the text of the section of a version, without its heading.

    Args:
        changelog: the text of CHANGELOG.md, in the form of https://keepachangelog.com.
        version: the version, without a leading "v".
        or_unreleased: whether "Unreleased" counts as the section of the version, as before the day of the release.

    Raises:
        ChangelogError: there is no such section, or it is empty.
    """
    headings = [*_HEADING.finditer(changelog)]
    ends = [heading.start() for heading in headings[1:]] + [len(changelog)]
    sections = {
        heading["title"]: changelog[heading.end() : end].strip() for heading, end in zip(headings, ends, strict=True)
    }
    text = sections.get(version) or (sections.get("Unreleased") if or_unreleased else None)
    if not text:
        msg = f"CHANGELOG.md has no notes of {version}; it has {', '.join(sections) or 'no section'}"
        raise ChangelogError(msg)
    return f"{text}\n"
