"""Credentials that are replaced while a client uses them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kinformer import ClusterConfig
from kinformer.config import TLS, ClientCertificate, Identity, Pem
from kinformer.fleet._credentials import RotatingCredentials, same_endpoint


def config(token: str, certificate: str = "", server: str = "https://10.0.0.1:6443") -> ClusterConfig:
    made = ClusterConfig.for_server(server, token)
    pair = ClientCertificate(Pem(data=certificate.encode()), Pem(data=b"key")) if certificate else None
    return replace(made, tls=TLS(certificate=pair))


def test_the_newest_token_and_certificate_are_presented() -> None:
    credentials = RotatingCredentials(config("one", "first"))
    used = credentials.using(config("one", "first"))
    assert used.tls.certificate is None
    credentials.rotate(config("two", "second"))
    found = credentials.current()
    assert found is not None
    assert found.authorization == "Bearer two"
    assert found.certificate is not None
    assert found.certificate.certificate.data == b"second"


def test_a_certificate_that_is_gone_is_not_presented_any_more() -> None:
    credentials = RotatingCredentials(config("one", "first"))
    credentials.rotate(config("two"))
    found = credentials.current()
    assert found is not None
    assert found.certificate is None


async def test_a_renewal_that_is_under_way_returns_the_credentials_that_came_meanwhile() -> None:
    go_on = asyncio.Event()

    class Slow:
        def current(self) -> Identity | None:
            return None

        async def renew(self, *, refused: bool = False) -> Identity:
            await go_on.wait()
            return Identity("Bearer old")

    credentials = RotatingCredentials(replace(config("x"), credentials=Slow()))
    async with asyncio.TaskGroup() as group:
        renewal = group.create_task(credentials.renew(refused=True))
        await asyncio.sleep(0)
        credentials.rotate(config("new"))
        go_on.set()
    assert renewal.result().authorization == "Bearer new"


def test_no_secret_is_in_a_repr() -> None:
    credentials = RotatingCredentials(config("s3cret", "s3cret-certificate"))
    assert "s3cret" not in repr(credentials) + repr(credentials.using(config("s3cret"))) + repr(credentials.current())


def test_only_credentials_and_namespaces_may_differ() -> None:
    one = config("one", "first")
    assert same_endpoint(one, replace(config("two", "second"), namespace="other"))
    assert not same_endpoint(one, config("one", server="https://10.0.0.2:6443"))
    assert not same_endpoint(one, replace(one, tls=TLS(verify=False)))
    assert not same_endpoint(one, replace(one, tls=TLS(ca=Pem(data=b"another"))))
    assert not same_endpoint(one, replace(one, proxy="http://proxy:3128"))
    assert not same_endpoint(one, one.as_user("jane"))
