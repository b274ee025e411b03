"""examples/fastapi_app.py does what its docstring says, against the embedded API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.fastapi_app import app
from tests.integrations.conftest import serving, watching

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from kinformer.testing import ApiServer

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-0", "namespace": "default", "labels": {"app": "web"}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web:1"}]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}


async def test_the_example_answers(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create(POD)
    api.create(DEPLOYMENT)
    api.write_kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with serving(app) as served:
        assert await served.json("/nodes/node-1/pods") == ["default/web-0"]
        assert await served.json("/images/default/web") == ["web:1"]
        assert (await served.get("/images/default/nothing"))[0] == 404
        assert len((await served.json("/cache/pods?labelSelector=app=web"))["items"]) == 1
        assert (await served.json("/readyz"))["status"] == "ok"
        async with watching(served, "/cache/watch/pods") as browser:
            assert [message.event for message in await browser.until("synced")] == ["reset", "added", "synced"]
