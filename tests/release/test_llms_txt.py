"""llms.txt lists every page of the manual, under its title, with a sentence and an address that exists."""

from __future__ import annotations

import re
from typing import Any

import yaml

from release.llms_txt import llms_txt, on_post_build, pages, without_front_matter
from tests.paths import ROOT

DOCS = ROOT / "docs"
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def test_each_page_is_in_the_navigation() -> None:
    assert sorted(path for _, path in pages(CONFIG["nav"])) == sorted(
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")
    )


def test_each_page_is_listed_with_its_title_and_a_sentence() -> None:
    text = llms_txt(DOCS, CONFIG["nav"], "kinformer", "about it", "https://example.com/")
    listed = re.findall(r"^- \[([^\]]+)\]\(https://example.com/([^)]*)\)(.*)$", text, re.MULTILINE)
    assert len(listed) == len(list(pages(CONFIG["nav"])))
    for title, address, sentence in listed:
        path = DOCS / "index.md" if address == "./" else DOCS / f"{address.rstrip('/')}.md"
        assert without_front_matter(path.read_text()).replace("`", "").startswith(f"# {title}\n")
        assert title != "---"
        assert "](" not in sentence
        assert sentence or "reference/" in address
    assert text.startswith(
        "# kinformer\n\n> about it\n\n## Start\n\n- [kinformer](https://example.com/./): Kubernetes informers"
    )


def test_the_build_writes_it_beside_the_pages(tmp_path: Any) -> None:
    on_post_build({**CONFIG, "docs_dir": str(DOCS), "site_dir": str(tmp_path), "site_url": None})
    assert "(how-to/rbac/): An informer needs the verbs" in (tmp_path / "llms.txt").read_text()
