"""`-o custom-columns=`: columns whose values are at paths; tests/peers compares the text with that of kubectl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer.cli._custom_columns import CustomColumnsPrinter, columns_in_file, columns_of_text
from kinformer.cli._printers import Change
from kinformer.cli._session import UsageProblem
from kinformer.objects import KubeObject
from kinformer.resources import PODS, SECRETS

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer.resources import Resource


def printed(columns: str, *manifests: dict[str, Any], resource: Resource = PODS, **options: Any) -> list[str]:
    printer = CustomColumnsPrinter(columns_of_text(columns), **options)
    return "".join(printer.lines([change(manifest, resource)]) for manifest in manifests).splitlines()


def change(manifest: dict[str, Any], resource: Resource) -> Change:
    whole = manifest | {"metadata": {"name": "web-0", "namespace": "default"} | manifest.get("metadata", {})}
    return Change("", KubeObject.from_dict(whole, resource))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a text", "a text"),
        (5, "5"),
        (2.0, "2"),
        (1.5, "1.5"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (0.00001, "1e-05"),
        (True, "true"),
        (None, "<nil>"),
        ({"b": 1, "a": None}, "map[a:<nil> b:1]"),
        (["x", {"y": [False]}], "[x map[y:[false]]]"),
        ("two\nlines \x1b[31m", "two lines \\x1b[31m"),
    ],
)
def test_a_value_is_written_as_go_writes_it_and_drives_no_terminal(value: Any, text: str) -> None:
    assert printed("V:.spec.value", {"spec": {"value": value}}) == ["V", text]


def test_a_column_has_room_for_its_values_and_no_value_is_none() -> None:
    pods = [{"spec": {"a": name, "all": ["x", "y"]}} for name in ("1", "a longer one")]
    assert printed("A:.spec.a,ALL:spec.all[*],NO:{.spec.no}", *pods) == [
        "A     ALL   NO",
        "1     x,y   <none>",
        "a longer one   x,y   <none>",
    ]
    assert printed("A:.spec.a", pods[0], headed=False) == ["1"]


def test_values_of_secrets_are_shown_only_when_asked_for() -> None:
    secret = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}
    assert "aHVudGVyMg==" not in "".join(printed("P:.data.password,D:.data", secret, resource=SECRETS))
    assert printed("P:.data.password", secret, resource=SECRETS, show_secrets=True)[1] == "aHVudGVyMg=="


@pytest.mark.parametrize("columns", ["", "NAME", "NAME:", "NAME:{.a}{.b}", "NAME:.a[", "A:.a,B"])
def test_columns_that_do_not_parse_are_refused(columns: str) -> None:
    with pytest.raises(UsageProblem, match="-o custom-columns"):
        columns_of_text(columns)


@pytest.mark.parametrize("content", [None, b"", b"NAME\n", b"NAME NODE\n.metadata.name\n", b"\xff\n.a\n", b"A\n.a[\n"])
def test_a_file_that_does_not_parse_is_refused_and_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "columns"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageProblem, match="-o custom-columns"):
        columns_in_file(str(path))


def test_a_file_has_a_line_of_titles_and_a_line_of_paths(tmp_path: Path) -> None:
    path = tmp_path / "columns"
    path.write_text("NAME    NODE\n.metadata.name {spec.nodeName}\n")
    columns = columns_in_file(str(path))
    assert [column.title for column in columns] == ["NAME", "NODE"]
    assert columns[1].path.all({"spec": {"nodeName": "node-1"}}) == ["node-1"]
