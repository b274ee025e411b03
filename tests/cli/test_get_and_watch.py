"""`kinformer get` and `kinformer watch` against `kinformer serve-api`."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kinformer.testing import build
from tests.cli.conftest import AT_ONCE, end, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome, Served

    Run = Callable[..., Outcome]


def send(served: Served, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        served.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def config_map(served: Served, name: str, **labels: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}
    send(served, "POST", "/api/v1/namespaces/default/configmaps", body)


def line_of(process: Any, wanted: str) -> str:
    for line in process.stdout:
        if wanted in line:
            return str(line)
    raise AssertionError(f"no line with {wanted!r}: {process.stderr.read()}")


def test_get_prints_the_same_objects_as_table_json_and_names(served: Served, kinformer: Run) -> None:
    config_map(served, "shown", forms="yes")
    at = ("-l", "forms=yes", "--kubeconfig", str(served.kubeconfig))
    table = kinformer("get", "cm", *at)
    assert table.code == 0, table.err
    header, row = table.out.splitlines()
    assert header.split() == ["NAME", "DATA", "AGE"]
    assert row.split()[:2] == ["shown", "1"]
    assert kinformer("get", "configmaps", "-o", "name", *at).out == "configmap/shown\n"
    (obj,) = kinformer("get", "configmap", "-o", "jsonl", *at).out.splitlines()
    whole = json.loads(kinformer("get", "configmap", "-o", "json", *at).out)
    assert (whole["kind"], whole["items"]) == ("List", [json.loads(obj)])
    assert (json.loads(obj)["kind"], json.loads(obj)["data"]) == ("ConfigMap", {"a": "1"})
    one = kinformer("get", "cm/shown", "-o", "json", "--server", served.url)
    assert json.loads(one.out) == json.loads(obj)


def test_get_finds_nothing_and_says_so_on_standard_error_alone(served: Served, kinformer: Run) -> None:
    outcome = kinformer("get", "cm", "-l", "no=such", "--server", served.url)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "kinformer: no configmaps found in namespace default; -A looks in all\n"
    assert json.loads(kinformer("get", "cm", "-l", "no=such", "-o", "json", "--server", served.url).out)["items"] == []


def test_values_of_secrets_are_shown_only_when_asked_for(served: Served, kinformer: Run) -> None:
    applied = json.dumps({"data": {"password": "aHVudGVyMg=="}})
    metadata = {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": "aHVudGVyMg=="}}
    send(served, "POST", "/api/v1/namespaces/default/secrets", body)
    at = ("--server", served.url, "-o", "json")
    hidden = kinformer("get", "secret/s", *at)
    assert "aHVudGVyMg" not in hidden.out
    assert json.loads(hidden.out)["data"] == {"password": "<7 bytes, not shown>"}
    assert "aHVudGVyMg" in kinformer("get", "secret/s", "--show-secrets", *at).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_shows_what_is_there_then_each_change_and_ends_at_once(served: Served, number: int) -> None:
    label = signal.Signals(number).name.lower()
    config_map(served, f"there-{label}", watch=label)
    process = start("watch", "cm", "-l", f"watch={label}", "--kubeconfig", str(served.kubeconfig))
    assert line_of(process, f"there-{label}").split()[0] == "-"
    config_map(served, f"new-{label}", watch=label)
    assert line_of(process, f"new-{label}").split()[0] == "ADDED"
    path = f"/api/v1/namespaces/default/configmaps/new-{label}"
    send(served, "PATCH", path, {"data": {"b": "2"}})
    assert line_of(process, f"new-{label}").split()[:3] == ["MODIFIED", f"new-{label}", "2"]
    send(served, "DELETE", path)
    assert line_of(process, f"new-{label}").split()[0] == "DELETED"
    asked = time.perf_counter()
    outcome = end(process, number)
    assert time.perf_counter() - asked < AT_ONCE
    assert (outcome.code, outcome.err) == (128 + number, "")


def test_watch_in_json_has_the_events_of_the_api(served: Served) -> None:
    config_map(served, "json-a", json="yes")
    process = start("watch", "cm", "-l", "json=yes", "-o", "json", "--server", served.url)
    first = json.loads(line_of(process, "json-a"))
    assert (first["type"], first["object"]["kind"]) == ("ADDED", "ConfigMap")
    send(served, "DELETE", "/api/v1/namespaces/default/configmaps/json-a")
    assert json.loads(line_of(process, "json-a"))["type"] == "DELETED"
    end(process)


def test_the_columns_are_those_the_server_shows(served: Served, kinformer: Run) -> None:
    printed = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Note", "type": "string", "jsonPath": ".spec.note", "priority": 1},
    ]
    definition = build.custom_resource_definition("sizes", "Size")
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = printed
    send(served, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    sized = build.custom_resource("example.com/v1", "Size", "a", spec={"size": 3, "note": "first\nsecond"})
    send(served, "POST", "/apis/example.com/v1/namespaces/default/sizes", sized)
    shown = kinformer("get", "sizes", "--server", served.url).out.splitlines()
    assert [line.split() for line in shown] == [["NAME", "SIZE"], ["a", "3"]]
    wide = kinformer("get", "sizes/a", "-o", "wide", "--server", served.url).out.splitlines()
    assert [line.split() for line in wide] == [["NAME", "SIZE", "NOTE"], ["a", "3", "first..."]]
    process = start("watch", "sizes", "-o", "wide", "--server", served.url)
    assert line_of(process, "first").split() == ["-", "a", "3", "first..."]
    send(served, "PATCH", "/apis/example.com/v1/namespaces/default/sizes/a", {"spec": {"size": 4}})
    assert line_of(process, "MODIFIED").split() == ["MODIFIED", "a", "4", "first..."]
    assert end(process).err == ""


def test_watch_says_what_each_update_changed(served: Served) -> None:
    config_map(served, "diff-a", diff="yes")
    process = start("watch", "cm/diff-a", "--diff", "--server", served.url)
    assert line_of(process, "diff-a").split()[:2] == ["-", "diff-a"]
    send(served, "PATCH", "/api/v1/namespaces/default/configmaps/diff-a", {"data": {"a": "2", "b": "new"}})
    assert line_of(process, "MODIFIED").split()[:3] == ["MODIFIED", "diff-a", "2"]
    assert line_of(process, "~") == "    ~ data.a: 1 → 2\n"
    assert line_of(process, "+") == "    + data.b: new\n"
    assert end(process).err == ""


def test_yaml_and_jsonpath_print_what_they_say(served: Served, kinformer: Run) -> None:
    config_map(served, "path-a", path="yes")
    config_map(served, "path-b", path="yes")
    at = ("-l", "path=yes", "--server", served.url)
    documents = [*yaml.safe_load_all(kinformer("get", "cm", "-o", "yaml", *at).out)]
    assert [document["metadata"]["name"] for document in documents] == ["path-a", "path-b"]
    names = kinformer("get", "cm", "-o", "jsonpath={.items[*].metadata.name}", *at)
    assert names.out == "path-a path-b\n"
    one = kinformer("get", "cm/path-a", "-o", "jsonpath={.data.a}", "--server", served.url)
    assert one.out == "1\n"
    process = start("watch", "cm", "-o", "jsonpath={.metadata.name}={.data.a}", *at)
    assert line_of(process, "path-b") == "path-b=1\n"
    end(process)


def test_a_jsonpath_to_the_values_of_secrets_says_that_they_are_hidden(served: Served, kinformer: Run) -> None:
    body = build.secret("hidden", data={"password": "hunter2"})
    send(served, "POST", "/api/v1/namespaces/default/secrets", body)
    path = ("get", "secret/hidden", "-o", "jsonpath={.data.password}", "--server", served.url)
    outcome = kinformer(*path)
    assert outcome.out == "<7 bytes, not shown>\n"
    assert outcome.err == "kinformer: values of secrets are hidden; --show-secrets shows them\n"
    shown = kinformer(*path, "--show-secrets")
    assert (shown.out, shown.err) == ("aHVudGVyMg==\n", "")


def test_watch_ends_quietly_when_its_reader_goes_away(served: Served) -> None:
    config_map(served, "pipe-a", pipe="yes")
    process = start("watch", "cm", "-l", "pipe=yes", "-o", "name", "--server", served.url)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "configmap/pipe-a\n"
    process.stdout.close()
    assert process.wait(timeout=60) in {0, 141}
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get", "nosuch"], 1, "has no resource 'nosuch'"),
        (["get", "cm/absent"], 1, "absent"),
        (["get", "cm", "-l", "a=("], 2, "label selector 'a=('"),
        (["get", "cm", "-o", "yml"], 2, "-o yml: expected table, wide, yaml, json, jsonl, name, jsonpath=TEMPLATE"),
        (["get", "cm", "-o", "jsonpath"], 2, "-o jsonpath: expected table, wide"),
        (["get", "cm", "-o", "jsonpath={.a"], 2, "jsonpath '{.a': a brace is not closed"),
        (["watch", "cm", "--diff", "-o", "json"], 2, "--diff goes with the table; leave -o json out"),
        (["get", "cm", "-n", "a", "-A"], 2, "-n names one namespace and -A means all"),
        (["get", "nodes", "-n", "a"], 2, "nodes are cluster-scoped"),
        (["get", "cm", "a", "-l", "x=y"], 2, "nothing to select"),
        (["watch", "cm", "-l", "a in"], 2, "label selector 'a in'"),
        (["get"], 2, "Missing argument 'RESOURCE [NAME]...'"),
        (["gett", "pods"], 2, "No such command 'gett'. Did you mean 'get'?"),
        (["get", "pod/a", "svc"], 2, "'svc' has no slash, but another word has one; write each as RESOURCE/NAME"),
        (["get", "pods,"], 2, "'pods,' is not RESOURCE or RESOURCE,RESOURCE"),
        (["get", "cm", "--sort-by", ".a["], 2, "--sort-by: jsonpath '{.a[}': a bracket is not closed"),
        (["get", "cm", "--as-group", "g"], 2, "--as-group goes with --as"),
        (["watch", "cm,secrets"], 2, "a watch prints one resource; start one watch for each"),
        (["get", "cm,secrets", "-w"], 2, "a watch prints one resource; start one watch for each"),
        (["watch", "cm", "a", "b"], 2, "a watch prints one object or all"),
        (["get", "cm", "-w", "--sort-by", ".a"], 2, "--sort-by has no meaning in a watch"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    served: Served, kinformer: Run, arguments: list[str], code: int, said: str
) -> None:
    where = ["--server", served.url] if arguments[0] in {"get", "watch"} and len(arguments) > 1 else []
    outcome = kinformer(*arguments, *where)
    assert outcome.code == code
    assert said in outcome.err
    assert outcome.err.startswith("kinformer: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_a_server_that_does_not_answer_is_named_with_the_cause(kinformer: Run) -> None:
    for command in ("get", "watch"):
        outcome = kinformer(command, "pods", "--server", "http://127.0.0.1:1")
        assert outcome.code == 1
        assert outcome.err.count("\n") == 1
        assert "http://127.0.0.1:1" in outcome.err
        assert "127.0.0.1" in outcome.err


def test_a_context_that_the_kubeconfig_does_not_have_is_named_with_those_it_has(served: Served, kinformer: Run) -> None:
    outcome = kinformer("get", "pods", "--kubeconfig", str(served.kubeconfig), "--context", "staging")
    assert outcome.code == 1
    assert "'staging'" in outcome.err
    assert "kinformer" in outcome.err.removeprefix("kinformer: ")


def test_options_that_name_two_servers_are_refused(served: Served, kinformer: Run) -> None:
    outcome = kinformer("get", "pods", "--server", served.url, "--demo")
    assert outcome.code == 2
    assert outcome.err == "kinformer: --server and --demo name different servers; give one of them\n"


def test_the_embedded_cluster_can_be_looked_at_without_any_server(kinformer: Run) -> None:
    outcome = kinformer("get", "nodes", "--demo")
    assert outcome.code == 0
    assert [line.split()[:2] for line in outcome.out.splitlines()][1:] == [[f"node-{i}", "Ready"] for i in (1, 2, 3)]


def test_serve_api_leaves_a_file_alone_that_it_did_not_write(tmp_path: Any, kinformer: Run) -> None:
    precious = tmp_path / "config"
    precious.write_text("clusters: [{name: production}]\n")
    outcome = kinformer("serve-api", "--write-kubeconfig", str(precious))
    assert outcome.code == 2
    assert "was not written by kinformer" in outcome.err
    assert precious.read_text() == "clusters: [{name: production}]\n"


def test_serve_api_on_a_port_that_is_taken_says_so(served: Served, kinformer: Run) -> None:
    port = served.url.rsplit(":", 1)[1]
    outcome = kinformer("serve-api", "--port", port)
    assert outcome.code == 1
    assert f"cannot listen on port {port}: " in outcome.err
    assert "--port 0 takes any free port" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path: Any, kinformer: Run) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(\"No module named 'click'\", name='click')\n")
    outcome = kinformer("get", "pods", PYTHONPATH=str(tmp_path))
    assert outcome.code == 1
    assert outcome.err == "kinformer: the command line needs click; pip install 'kinformer[cli]'\n"


def test_serve_api_serves_with_faults(kinformer: Run) -> None:
    process = start("serve-api", "--fault", "fail:status=503,resource=configmaps", "--fault", "drop:every=0.1")
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    outcome = kinformer("get", "cm", "--server", url)
    assert outcome.code == 1
    assert "injected fault: 503" in outcome.err
    assert kinformer("get", "ns", "-o", "name", "--server", url).out.startswith("namespace/default\n")
    assert end(process).code == 130
    assert "drop:resource=" in kinformer("serve-api", "--fault", "help").out
    assert kinformer("serve-api", "--fault", "drip").code == 2


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u009b5m \u202e é 日本 😀"


@pytest.mark.parametrize("form", ["table", "wide", "yaml", "json", "name", "jsonpath={.items[*].data.k}"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_no_object_drives_the_terminal_or_fails_on_its_encoding(
    served: Served, kinformer: Run, form: str, encoding: str
) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "hostile", "labels": {"of": "hostile"}, "annotations": {"a": HOSTILE}},
        "data": {"k": HOSTILE},
    }
    with contextlib.suppress(urllib.error.HTTPError):  # It is there from the run before.
        send(served, "POST", "/api/v1/namespaces/default/configmaps", body)
    at = ("--server", served.url, "-l", "of=hostile", "-o", form)
    outcome = kinformer("get", "cm", *at, PYTHONIOENCODING=encoding)
    assert outcome.code == 0, outcome.err
    assert not {character for character in outcome.out if character < " " and character not in "\n\t"}
    assert not {"\x7f", "\x9b", "\u202e"}.intersection(outcome.out)
    if form == "json":
        assert json.loads(outcome.out)["items"][0]["data"]["k"] == HOSTILE
    elif form == "yaml":
        assert yaml.safe_load(outcome.out)["data"]["k"] == HOSTILE


def test_without_arguments_it_shows_what_to_try(kinformer: Run) -> None:
    outcome = kinformer()
    assert (outcome.code, outcome.err) == (0, "")
    for command in ("kinformer demo", "kinformer ui --demo --open", "kinformer watch pods -A", "kinformer --help"):
        assert command in outcome.out


def test_get_takes_several_resources_and_names_as_kubectl_does(served: Served, kinformer: Run) -> None:
    for name in ("several-10", "several-2"):
        config_map(served, name, several="yes")
    send(served, "POST", "/api/v1/namespaces/default/secrets", build.secret("several-s", labels={"several": "yes"}))
    at = ("--server", served.url)
    tables = kinformer("get", "cm,secrets", "-l", "several=yes", *at)
    assert (tables.code, tables.err) == (0, "")
    first, second = tables.out.split("\n\n")
    assert [line.split()[0] for line in first.splitlines()] == ["NAME", "configmap/several-10", "configmap/several-2"]
    assert [line.split()[0] for line in second.splitlines()] == ["NAME", "secret/several-s"]
    names = kinformer("get", "cm/several-2", "secret/several-s", "cm/several-10", "-o", "name", *at)
    assert names.out.splitlines() == ["configmap/several-10", "configmap/several-2", "secret/several-s"]
    listed = json.loads(kinformer("get", "cm", "several-2", "several-10", "-o", "json", *at).out)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["several-10", "several-2"]
    partly = kinformer("get", "cm", "several-2", "absent", "-o", "name", *at)
    assert (partly.code, partly.out) == (1, "configmap/several-2\n")
    assert 'configmaps "absent" not found' in partly.err
    nothing = kinformer("get", "cm,secrets", "-l", "no=such", *at)
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "kinformer: no configmaps or secrets found in namespace default; -A looks in all\n"


def test_get_sorts_by_a_field_that_a_table_does_not_show(served: Served, kinformer: Run) -> None:
    for name, value in (("sort-a", "10"), ("sort-b", "9"), ("sort-c", "100m")):
        config_map(served, name, sort="yes")
        send(served, "PATCH", f"/api/v1/namespaces/default/configmaps/{name}", {"data": {"a": value}})
    at = ("-l", "sort=yes", "--server", served.url)
    for form in ("table", "name"):
        shown = kinformer("get", "cm", "--sort-by", "{.data.a}", "-o", form, *at).out.splitlines()
        names = [line.split()[0].removeprefix("configmap/") for line in shown]
        assert [name for name in names if name != "NAME"] == ["sort-c", "sort-b", "sort-a"]
    assert "no object has the field .data.none" in kinformer("get", "cm", "--sort-by", ".data.none", *at).err


def test_get_with_w_goes_on_as_watch(served: Served) -> None:
    config_map(served, "goes-on", goes="on")
    process = start("get", "cm", "-w", "-l", "goes=on", "--server", served.url)
    assert line_of(process, "goes-on").split()[0] == "-"
    send(served, "DELETE", "/api/v1/namespaces/default/configmaps/goes-on")
    assert line_of(process, "goes-on").split()[0] == "DELETED"
    assert end(process).err == ""


def test_help_names_no_types_and_says_of_each_command_what_it_does(kinformer: Run) -> None:
    commands = kinformer("--help").out
    for name in ("demo", "get", "watch", "ui", "top", "bench", "run", "crd", "serve-api", "completion"):
        assert f"\n  {name} " in commands
        shown = kinformer(name, "-h")
        assert (shown.code, shown.err) == (0, "")
        assert shown.out.startswith(f"Usage: kinformer {name} ")
        assert "\nExamples:\n" in shown.out
        assert not {"<bool>", "TEXT", "INTEGER", "FLOAT", "PATH\n"}.intersection(shown.out.split())


def test_get_starts_without_the_informers_and_the_forms_that_it_does_not_need(served: Served) -> None:
    program = (
        "import sys\n"
        "from kinformer.cli._app import run\n"
        f"code = run(['get', 'cm', '--kubeconfig', {str(served.kubeconfig)!r}])\n"
        "heavy = ('kinformer.informer', 'kinformer.reflector', 'kinformer.testing', 'kinformer.cli._jsonpath',\n"
        "         'pydantic', 'kinformer.custom_resources', 'kinformer.client._cached', 'kinformer.controller',\n"
        "         'kinformer._display.yaml_text', 'kubernetes_asyncio', 'rich', 'uvicorn', 'starlette', 'anyio')\n"
        "import aiohttp.connector\n"
        "contexts = [aiohttp.connector._SSL_CONTEXT_VERIFIED, aiohttp.connector._SSL_CONTEXT_UNVERIFIED]\n"
        "authorities = sum(context.cert_store_stats()['x509'] for context in contexts)\n"
        "print(code, [name for name in heavy if name in sys.modules], authorities)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 [] 0"
