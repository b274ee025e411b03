"""Replacements: the same for the same, different for different, of the same form, and nothing of the original."""

from __future__ import annotations

import ipaddress
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.recordings._pseudonyms import Pseudonyms

KEY = b"k" * 32
NAMES = st.text(string.ascii_lowercase + string.digits + "-./:", min_size=1, max_size=60)


def form(text: str) -> str:
    return re.sub("[A-Z]", "A", re.sub("[a-z]", "a", re.sub("[0-9]", "0", text)))


@given(st.text("abcxyzABC0129-._/:@ äß€𝄞", max_size=40))
def test_a_replacement_has_the_length_and_the_form_of_the_original(text: str) -> None:
    made = Pseudonyms(key=KEY).string(text)
    assert len(made.encode()) == len(text.encode()) or re.fullmatch(r"[\d./]+", text)
    if text.isascii() and not re.fullmatch(r"[\d./:a-fA-F]*", text):
        assert form(made) == form(text)


@given(st.lists(NAMES, unique=True, max_size=200))
def test_different_names_have_different_replacements(names: list[str]) -> None:
    pseudonyms = Pseudonyms(key=KEY)
    assert len({pseudonyms.string(name) for name in names}) == len(names)


def test_all_words_of_a_short_form_are_replaced_by_different_ones() -> None:
    pseudonyms = Pseudonyms(key=KEY)
    words = [a + b for a in string.ascii_lowercase for b in string.ascii_lowercase]
    assert {pseudonyms.string(word) for word in words} == set(words)


def test_parts_of_composed_names_are_replaced_alike() -> None:
    pseudonyms = Pseudonyms(key=KEY)
    deployment, replica_set, pod = (
        pseudonyms.string(text) for text in ("shop-web", "shop-web-7d9f", "shop-web-7d9f-x2")
    )
    assert replica_set.startswith(f"{deployment}-")
    assert pod.startswith(f"{replica_set}-")
    assert pseudonyms.string("prod/shop-web") == f"{pseudonyms.string('prod')}/{deployment}"


def test_the_key_decides_and_without_one_it_is_random() -> None:
    assert Pseudonyms(key=KEY).string("payments") == Pseudonyms(key=KEY).string("payments")
    assert len({Pseudonyms().string("payments-of-a-customer") for _ in range(3)}) == 3


@settings(max_examples=30)
@given(st.ip_addresses())
def test_an_address_is_replaced_by_an_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    made = Pseudonyms(key=KEY).string(str(address))
    assert ipaddress.ip_address(made).version == address.version


@pytest.mark.parametrize("text", ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00.123456Z", "", "Running"])
def test_times_and_words_of_the_api_stay(text: str) -> None:
    assert Pseudonyms({"Running"}, key=KEY).string(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("app.kubernetes.io/name", "app.kubernetes.io/name"),
        ("node-role.kubernetes.io/payments", "node-role.kubernetes.io/"),
        ("app.kubernetes.io/name=payments", "app.kubernetes.io/name="),
    ],
)
def test_domains_of_kubernetes_stay_and_names_behind_them_do_not(text: str, kept: str) -> None:
    made = Pseudonyms(key=KEY).string(text)
    assert made.startswith(kept)
    assert "payments" not in made


def test_a_domain_that_only_looks_like_one_of_kubernetes_is_replaced() -> None:
    assert "k8s" not in Pseudonyms(key=KEY).string("k8s.io.payments.example")
    assert "acmek8s" not in Pseudonyms(key=KEY).string("acmek8s.io.example")


def test_large_numbers_are_replaced_by_numbers_of_as_many_digits() -> None:
    pseudonyms = Pseudonyms(key=KEY)
    assert pseudonyms.number(8080) == 8080
    for number in (65_534, 2**31 - 1, 2**63 - 1, -(2**31)):
        made = pseudonyms.number(number)
        assert made != number
        assert len(str(made)) == len(str(number))
        assert abs(made) <= abs(number)


def test_a_quantity_remains_one() -> None:
    pseudonyms = Pseudonyms(key=KEY)
    assert re.fullmatch(r"1\d\dMi", pseudonyms.digits("512Mi"))
    assert re.fullmatch(r"1\d%", pseudonyms.digits("25%"))
