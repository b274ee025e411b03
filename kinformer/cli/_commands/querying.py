"""The query that `kinformer get` and `kinformer watch` make of their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.cli._commands.options import SELECTION, values_of

if TYPE_CHECKING:
    from kinformer.cli._query import Query

__all__ = ["given_query"]


def given_query(options: dict[str, Any]) -> Query:
    """Return the query.

    Raises:
        UsageProblem: an option does not parse, or two contradict each other.
    """
    from kinformer.cli._query import Form, Query, parse_targets
    from kinformer.cli._selection import Selection
    from kinformer.cli._session import UsageProblem

    output = options["output"]
    form, equals, template = output.partition("=")
    if form not in [*Form] or bool(equals) != bool(Form(form).argument):
        forms = ", ".join(f"{known}={known.argument}" if known.argument else known for known in Form)
        raise UsageProblem(f"-o {output}: expected {forms}")
    return Query(
        targets=parse_targets(options["words"]),
        selection=Selection(**values_of(SELECTION, options)),
        form=Form(form),
        template=template,
        sort_by=options.get("sort_by", ""),
        show_secrets=options["show_secrets"],
        diff=options.get("diff", False),
        headed=not options["no_headers"],
        label_columns=tuple(key for keys in options["label_columns"] for key in keys.split(",") if key),
        all_labels=options["show_labels"],
    )
