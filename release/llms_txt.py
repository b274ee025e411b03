"""A hook of mkdocs: llms.txt (https://llmstxt.org) lists all pages with their first sentences, for language models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["llms_txt", "on_post_build", "pages", "without_front_matter"]


def pages(nav: Sequence[Any], section: str = "") -> Iterator[tuple[str, str]]:
    """Yield (section, path) for each page of a navigation, in its order."""
    for entry in nav:
        for title, value in entry.items() if isinstance(entry, dict) else [("", entry)]:
            if isinstance(value, list):
                yield from pages(value, title)
            else:
                yield section, value


def llms_txt(docs: Path, nav: Sequence[Any], title: str, description: str, site_url: str = "") -> str:
    """Return the text of llms.txt.

    Args:
        docs: the directory of the pages.
        nav: the navigation of mkdocs.yml.
        title: the name of the site.
        description: one line about it.
        site_url: goes before each path; "" for relative links.
    """
    lines = [f"# {title}", "", f"> {description}"]
    current = None
    for section, path in pages(nav):
        if section != current:
            lines += ["", f"## {section or 'Start'}", ""]
            current = section
        text = without_front_matter((docs / path).read_text())
        heading = text.partition("\n")[0].removeprefix("# ").replace("`", "")
        address = "" if path == "index.md" else path.removesuffix(".md") + "/"
        lines.append(f"- [{heading}]({site_url}{address or './'}): {_first_sentence(text)}".rstrip(": "))
    return "\n".join(lines) + "\n"


def on_post_build(config: Any, **_: Any) -> None:
    """Write llms.txt beside the pages of the site."""
    text = llms_txt(
        Path(config["docs_dir"]),
        config["nav"],
        config["site_name"],
        config["site_description"],
        config["site_url"] or "",
    )
    (Path(config["site_dir"]) / "llms.txt").write_text(text)


def without_front_matter(text: str) -> str:
    """Return the text of a page without the settings of the page, which stand before it between two lines "---"."""
    return re.sub(r"\A---\n.*?^---\n\s*", "", text, count=1, flags=re.MULTILINE | re.DOTALL)


def _first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph that is prose, without its links."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))[1:]:
        if re.match(r"[\w`*\[]", paragraph):
            prose = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split())).replace("*", "")
            return re.split(r"(?<=[.:?])\s", prose)[0]
    return ""
