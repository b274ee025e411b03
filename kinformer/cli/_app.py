"""The commands and their options. Other modules do the work; a command imports them when it runs."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinformer._version import __version__
from kinformer.cli import _options as options  # noqa: TC001 - typer reads the annotations
from kinformer.cli._completion import complete_resource
from kinformer.cli._escapes import escaped, survive_any_encoding

if TYPE_CHECKING:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query

__all__ = ["app", "run"]

app = typer.Typer(
    name="kinformer",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EXAMPLES = """
[bold]Examples[/bold]

kinformer demo                       informers at work, no cluster needed

kinformer watch pods -A              every pod, and each change

kinformer watch deploy/web --diff    what each update of it changed

kinformer get nodes --context staging

kinformer get pods --demo            from an embedded, simulated cluster

kinformer top 127.0.0.1:8765         the informers of a running program

kinformer ui --demo --open           informers and their objects in a browser

kinformer serve-api --demo           that cluster for kubectl

kinformer crd myapp.api:Website      the CRD of a class, as YAML

kinformer run myoperator:manager     an operator

kinformer bench pods -A --for 60     the cost of watching your cluster; changes nothing

kinformer --install-completion       Tab completes resources and names
"""

_WATCH_EXAMPLES = """
[bold]Examples[/bold]

kinformer watch pods -A                      every pod, and each change

kinformer watch pod/web-0 --diff             the changes of each update

kinformer watch deploy -l app=web -o wide

kinformer watch events -o jsonpath='{.type} {.reason}: {.message}'

kinformer watch cm -o json | jq .object.data
"""

_UI_EXAMPLES = """
[bold]Examples[/bold]

kinformer ui --demo --open                   a simulated cluster

kinformer ui -A                              the usual resources, in all namespaces

kinformer ui pods deploy cm -l app=web --port 0
"""

_GET_EXAMPLES = """
[bold]Examples[/bold]

kinformer get nodes -o wide --context staging

kinformer get deploy/web -o yaml

kinformer get pods -o jsonpath='{.items[*].spec.nodeName}'

kinformer get secret/db -o jsonpath='{.data.password}' --show-secrets

kinformer get pods --demo                    from a simulated cluster
"""

_TOP_EXAMPLES = """
[bold]Examples[/bold]

kinformer top 127.0.0.1:8765                 a program with a StatusServer

kinformer top https://app.example.com/internal/informers

kinformer top 127.0.0.1:8000 --once          as lines of text
"""

_RUN_EXAMPLES = """
[bold]Examples[/bold]

kinformer run myoperator:manager

kinformer run myoperator --demo              against a simulated cluster
"""

_CRD_EXAMPLES = """
[bold]Examples[/bold]

kinformer crd myapp.api:Website

kinformer crd myapp.api | kubectl apply --server-side -f -
"""

_SERVE_EXAMPLES = """
[bold]Examples[/bold]

kinformer serve-api --write-kubeconfig /tmp/kc

KUBECONFIG=/tmp/kc kubectl get ns            in another terminal

kinformer serve-api --demo --fault drop:every=5
"""


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"kinformer {__version__}")
        raise typer.Exit


_GREETING = """\
kinformer {version}: Kubernetes informers for asyncio

Try:
  kinformer demo                 informers at work, no cluster needed
  kinformer ui --demo --open     the same in a browser
  kinformer watch pods -A        your cluster, live
  kinformer --help               all commands
"""


@app.callback(epilog=_EXAMPLES, invoke_without_command=True)
def _kinformer(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Kubernetes informers for asyncio, at the command line."""
    if context.invoked_subcommand is None:
        typer.echo(_GREETING.format(version=__version__), nl=False)


@app.command("demo")
def _demo(
    seconds: Annotated[float, typer.Option("--for", metavar="SECONDS", min=1.0, help="Duration of the demo.")] = 20.0,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Random seed; the same seed repeats a run.")
    ] = None,
    pods: Annotated[
        int, typer.Option("--pods", metavar="N", min=0, max=20_000, help="Number of pods, approximately.")
    ] = 300,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", min=1, max=1_000, help="Number of nodes.")] = 6,
    plain: Annotated[bool, typer.Option("--plain", help="Print lines of text, as without a terminal.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", hidden=True)] = None,
    verbose: options.Verbose = False,
) -> int:
    """Show informers at work on a simulated cluster, and compare their caches with the server at the end.

    The cluster is an embedded API server with nodes, deployments that roll out, pods and a custom resource. In the
    middle of the demo the server cuts all watches and forgets its history. At the end, each cache is compared with the
    server, object by object; the exit code is 1 if they differ.
    """
    import random

    from kinformer.cli._session import run_command

    chosen = random.SystemRandom().randrange(1, 100_000) if seed is None else seed

    async def command() -> int:
        from kinformer.cli._simulated.demo import DemoPlan, demo
        from kinformer.cli._simulated.view import recorder, view

        plan = DemoPlan(seconds, chosen, pods, nodes)
        chosen_view = view(plain=plain or verbose)
        chosen_view.say(f"kinformer demo: {pods} pods on {nodes} nodes for {seconds:g} s, seed {chosen}")
        with recorder(picture) as pictures:
            return await demo(plan, chosen_view, pictures)

    return run_command(command, verbose=verbose)


@app.command("watch", epilog=_WATCH_EXAMPLES)
def _watch(
    resource: options.ResourceName,
    name: options.ObjectName = "",
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.LabelSelector = "",
    field_selector: options.FieldSelector = "",
    output: options.Output = "table",
    diff: options.Diff = False,
    show_secrets: options.ShowSecrets = False,
    kubeconfig: options.KubeconfigFile = None,
    context: options.ContextName = None,
    server: options.ServerUrl = None,
    token_file: options.TokenFile = None,
    certificate_authority: options.AuthorityFile = None,
    insecure: options.Insecure = False,
    demo: options.Demo = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the objects of a resource, then each change, until Ctrl-C.

    Objects that existed before the start are marked with "-", changes with ADDED, MODIFIED or DELETED. In a terminal,
    changed cells are highlighted. After a broken connection, the watch resumes where it was.
    """
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._watch import watch

        return await watch(
            _query(
                resource, name, namespace, all_namespaces, selector, field_selector, output, show_secrets, diff=diff
            ),
            _server_choice(kubeconfig, context, server, token_file, certificate_authority, insecure, demo),
        )

    return run_command(command, verbose=verbose)


@app.command("get", epilog=_GET_EXAMPLES)
def _get(
    resource: options.ResourceName,
    name: options.ObjectName = "",
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.LabelSelector = "",
    field_selector: options.FieldSelector = "",
    output: options.Output = "table",
    show_secrets: options.ShowSecrets = False,
    kubeconfig: options.KubeconfigFile = None,
    context: options.ContextName = None,
    server: options.ServerUrl = None,
    token_file: options.TokenFile = None,
    certificate_authority: options.AuthorityFile = None,
    insecure: options.Insecure = False,
    demo: options.Demo = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the objects of a resource, or one of them, once."""
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._get import get

        return await get(
            _query(resource, name, namespace, all_namespaces, selector, field_selector, output, show_secrets),
            _server_choice(kubeconfig, context, server, token_file, certificate_authority, insecure, demo),
        )

    return run_command(command, verbose=verbose)


@app.command("top", epilog=_TOP_EXAMPLES)
def _top(
    url: Annotated[str, typer.Argument(help="The address of the program's status: a URL, or host:port.")],
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Seconds between two updates.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the status once, as lines of text.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", hidden=True)] = None,
    verbose: options.Verbose = False,
) -> int:
    """Show the health of a running program's informers, live.

    The program serves its status with kinformer.integrations.status_endpoint: in its web application, or with a
    StatusServer.
    """
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._top import top

        return await top(url, every=every, once=once, picture=picture)

    return run_command(command, verbose=verbose)


@app.command("bench")
def _bench(
    resources: Annotated[
        list[str] | None, typer.Argument(metavar="RESOURCE...", help="As kubectl names them; by default pods.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--for", metavar="SECONDS", min=0, max=86_400, help="Seconds to watch; 0 only lists.")
    ] = 30,
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.LabelSelector = "",
    output: Annotated[str, typer.Option("-o", "--output", metavar="FORM", help="table or json (one line).")] = "table",
    kubeconfig: options.KubeconfigFile = None,
    context: options.ContextName = None,
    server: options.ServerUrl = None,
    token_file: options.TokenFile = None,
    certificate_authority: options.AuthorityFile = None,
    insecure: options.Insecure = False,
    demo: options.Demo = False,
    verbose: options.Verbose = False,
) -> int:
    """Measure the cost of informers of your own cluster's resources.

    The measurement only reads: each resource is listed once and then watched, as by an informer. No object is printed.
    """
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._bench import BenchPlan
        from kinformer.cli._bench_view import bench

        plan = BenchPlan(resources or ["pods"], namespace, all_namespaces, selector, seconds)
        chosen_server = _server_choice(kubeconfig, context, server, token_file, certificate_authority, insecure, demo)
        return await bench(plan, chosen_server, output)

    return run_command(command, verbose=verbose)


@app.command("ui", epilog=_UI_EXAMPLES)
def _ui(
    resources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RESOURCE...",
            help="As kubectl names them; by default pods, workloads, services, configmaps, nodes and events.",
            show_default=False,
            autocompletion=complete_resource,
        ),
    ] = None,
    namespace: options.Namespace = "",
    all_namespaces: options.AllNamespaces = False,
    selector: options.LabelSelector = "",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes any free one.")
    ] = 8585,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    pods: Annotated[
        int,
        typer.Option(
            "--pods", metavar="N", min=0, max=20_000, help="Number of pods in the demo cluster, approximately."
        ),
    ] = 300,
    kubeconfig: options.KubeconfigFile = None,
    context: options.ContextName = None,
    server: options.ServerUrl = None,
    token_file: options.TokenFile = None,
    certificate_authority: options.AuthorityFile = None,
    insecure: options.Insecure = False,
    demo: options.Demo = False,
    verbose: options.Verbose = False,
) -> int:
    """Show informers and their objects on a page in the browser: health, live tables, YAML, and each change.

    The page is served on 127.0.0.1 only. It is read-only and hides the values of Secrets.
    """
    from kinformer.cli._session import run_command

    # Outside of the command, so that a missing package is reported with its extra.
    from kinformer.cli._ui import PageOptions, ui

    async def command() -> int:
        page = PageOptions(resources or (), namespace, all_namespaces, selector, port, open_browser, pods)
        return await ui(
            page, _server_choice(kubeconfig, context, server, token_file, certificate_authority, insecure, demo)
        )

    return run_command(command, verbose=verbose)


@app.command("run", epilog=_RUN_EXAMPLES)
def _run(
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE[:FUNCTION]", help="A function of a Client that returns a Manager."),
    ],
    kubeconfig: options.KubeconfigFile = None,
    context: options.ContextName = None,
    server: options.ServerUrl = None,
    token_file: options.TokenFile = None,
    certificate_authority: options.AuthorityFile = None,
    insecure: options.Insecure = False,
    demo: options.Demo = False,
    verbose: options.Verbose = False,
) -> int:
    """Run an operator: the Manager that a function makes, until SIGTERM or Ctrl-C.

    The function gets an open client. With --demo it is of an embedded, simulated cluster. A second signal ends the
    process at once.
    """
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._run import run_manager

        choice = _server_choice(kubeconfig, context, server, token_file, certificate_authority, insecure, demo)
        return await run_manager(target, choice)

    return run_command(command, verbose=verbose)


@app.command("crd", epilog=_CRD_EXAMPLES)
def _crd(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE[:CLASS]...", help="Classes, or modules for all classes in them.")
    ],
    verbose: options.Verbose = False,
) -> int:
    """Print the CustomResourceDefinitions of classes with @custom_resource, as YAML.

    Several versions of one resource become one definition. No cluster is asked.
    """
    from kinformer.cli._session import run_command

    async def command() -> int:
        from kinformer.cli._crd import print_definitions

        return await print_definitions(targets)

    return run_command(command, verbose=verbose)


@app.command("serve-api", epilog=_SERVE_EXAMPLES)
def _serve_api(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes any free one.")
    ] = 0,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    write_kubeconfig: Annotated[
        Path | None,
        typer.Option("--write-kubeconfig", metavar="FILE", help="The file to write; by default a temporary one."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Put a simulated cluster into the server.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="A fault to inject: drop:every=5, fail:status=503,verb=list; repeatable. '--fault help' lists all.",
            show_default=False,
        ),
    ] = None,
    verbose: options.Verbose = False,
) -> int:
    """Run the embedded API server alone: for kubectl, and for tests in any language.

    The command prints the address and the `export KUBECONFIG=...` line for kubectl. The server stores nothing on disk.
    It accepts requests without credentials.
    """
    from kinformer.cli._session import run_command

    if "help" in (fault or ()):
        from kinformer.testing.fault_spec import described

        typer.echo(described())
        return 0

    async def command() -> int:
        from kinformer.cli._serve import serve

        return await serve(host=host, port=port, kubeconfig=write_kubeconfig, demo=demo, faults=fault or ())

    return run_command(command, verbose=verbose)


def _query(
    resource: str,
    name: str,
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    output: str,
    show_secrets: bool,
    *,
    diff: bool = False,
) -> Query:
    from kinformer.cli._query import Form, Query
    from kinformer.cli._selection import Selection
    from kinformer.cli._session import UsageProblem

    form, equals, template = output.partition("=")
    if form not in [*Form] or bool(equals) != (form == Form.JSONPATH):
        forms = ", ".join(f"{known}=TEMPLATE" if known is Form.JSONPATH else known for known in Form)
        msg = f"-o {output}: expected {forms}"
        raise UsageProblem(msg)
    return Query(
        resource=resource,
        name=name,
        selection=Selection(namespace, all_namespaces, selector, field_selector),
        form=Form(form),
        template=template,
        show_secrets=show_secrets,
        diff=diff,
    )


def _server_choice(
    kubeconfig: Path | None,
    context: str | None,
    server: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    insecure: bool,
    demo: bool,
) -> ServerChoice:
    from kinformer.cli._connect import ServerChoice

    return ServerChoice(kubeconfig, context, server, token_file, ca_file, insecure, demo)


for _command in app.registered_commands:
    # Join the lines of each paragraph: the terminal wraps them at its own width.
    _paragraphs = inspect.cleandoc(getattr(_command.callback, "__doc__", None) or "").split("\n\n")
    _command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in _paragraphs)


def _keep_only_the_named_command(arguments: list[str]) -> None:
    """Drop the other commands if the first argument names one: typer takes some 5 ms to build each."""
    named = [command for command in app.registered_commands if arguments and command.name == arguments[0]]
    if named:
        app.registered_commands = named


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code. A usage error is reported in one line, too."""
    survive_any_encoding()
    _keep_only_the_named_command(sys.argv[1:] if arguments is None else arguments)
    try:
        code: Any = app(args=arguments, prog_name="kinformer", standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        # A usage error of typer. Its class is click's or typer's own, depending on typer's version.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        message = " ".join(said().split())
        if message:  # Empty if the help was printed already.
            command = getattr(getattr(error, "ctx", None), "command_path", "kinformer")
            print(f"kinformer: {escaped(message)} (try '{command} --help')", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0
