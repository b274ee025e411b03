"""The URL of a request is made of its parts, and is the one that its whole text means."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from kinformer.client._http.request_head import RequestHeads
from kinformer.config import ClusterConfig

SERVERS = [
    "http://127.0.0.1:8001",
    "https://[::1]:6443/",
    "https://b\u00fccher.example",
    "https://gate.example/k8s/clusters/c-%201/",
]
PLAIN = st.text("abz09_.-~/", max_size=8)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PARAMS = st.lists(st.tuples(PLAIN | ANY, PLAIN | ANY), max_size=4)


@pytest.mark.parametrize("server", SERVERS)
@given(path=PLAIN | ANY, params=PARAMS)
def test_a_url_is_the_server_with_the_path_and_the_query_percent_encoded(
    server: str, path: str, params: list[tuple[str, str]]
) -> None:
    url = RequestHeads(ClusterConfig(server=server), user_agent="test").url(f"/api/{path}", params)
    text = str(yarl.URL(server)).rstrip("/") + quote(f"/api/{path}", safe="/:@!$&'()*+,;=~-._")
    whole = yarl.URL(f"{text}?{urlencode(params, quote_via=quote)}" if params else text, encoded=True)
    assert str(url) == str(whole)
    assert (url.raw_host, url.port, url.raw_path_qs) == (whole.raw_host, whole.port, whole.raw_path_qs)
