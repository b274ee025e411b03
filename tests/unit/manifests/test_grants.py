"""Grants: read from Roles, joined, and made into rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kinformer.manifests._grants import Grant, grants_in, rules_of, without_covered

GRANTS = st.sets(
    st.builds(
        Grant,
        st.sampled_from(["get", "list", "create"]),
        st.sampled_from(["", "apps"]),
        st.sampled_from(["pods", "deployments", "deployments/status"]),
        st.just("a"),
        st.sampled_from([(), ("x",), ("x", "y")]),
    )
)


@given(GRANTS)
def test_rules_give_the_grants_and_no_others(grants: set[Grant]) -> None:
    role = {"kind": "Role", "metadata": {"namespace": "a"}, "rules": rules_of(grants)}
    assert grants_in([role], default_to="other") == grants


def test_a_wider_grant_covers_a_narrower_one() -> None:
    wide, named, placed = Grant("get", "", "pods"), Grant("get", "", "pods", "a", ("x",)), Grant("get", "", "pods", "a")
    other = Grant("list", "", "pods", "a")
    assert without_covered([wide, named, placed, other]) == {wide, other}
    assert without_covered([named, placed]) == {placed}
