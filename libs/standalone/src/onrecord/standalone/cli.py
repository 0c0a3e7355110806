"""The `onrecord` command."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Coroutine
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from onrecord.standalone import demo as demonstration
from onrecord.standalone import placing, present
from onrecord.standalone import verify as verification
from onrecord.standalone.doors import Listener, entries_of, retrieval
from onrecord.standalone.errors import BadRequest, StandaloneError
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.output import private_file
from onrecord.standalone.present import Printer
from onrecord.standalone.stack import StackOptions
from onrecord.standalone.trace import read_spans, traces_of
from onrecord.standalone.up import run_up

EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or a check does not hold, 2 a wrong request, 3 the stack is "
    "not running or did not come up, 4 the data folder is in use, 130 interrupted."
)

INTERRUPTED = 130
WAV_HEADER_OCTETS = 44
WAV_OCTETS_PER_SECOND = 8000 * 2 * 2

app = typer.Typer(
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path, typer.Option(help="The folder that holds everything of a stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]
CallId = Annotated[str, typer.Argument(help="The call's id, its beginning, or `last`.")]
Purpose = Annotated[
    str,
    typer.Option(
        help="What for: training, supervision, customer_service, quality, disputes or regulation."
    ),
]
Person = Annotated[
    str, typer.Option(help="Who listens, for the access entry.", default_factory=getpass.getuser)
]

DEFAULT_DATA = Path(".onrecord")
T = TypeVar("T")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        print(f"onrecord {metadata.version('onrecord')}")
        raise typer.Exit


@app.callback()
def onrecord(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which it is.")
    ] = False,
) -> None:
    """Open, lawful call recording for contact centres: the whole product on one machine."""


@app.command(epilog=EXIT_CODES)
def up(
    *,
    data: Data = DEFAULT_DATA,
    routes: Annotated[
        Path | None, typer.Option(help="The routes file; DIR/routes.toml, made if absent.")
    ] = None,
    sip: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Where to take SIP; 127.0.0.1:5060, or a free port."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run the five services and the embedded servers until Ctrl-C.

    ONRECORD_MONGO, ONRECORD_KAFKA and ONRECORD_OBJECTS name real servers instead of the embedded
    ones. Addresses stand in DIR/endpoints.json while everything is up, logs in DIR/logs.
    """
    printer = Printer(as_json=as_json)
    _run(run_up(StackOptions(data, routes, _host_port(sip)), printer), printer)


@app.command(epilog=EXIT_CODES)
def call(
    number: Annotated[str, typer.Argument(help="What is dialled.")] = "1000",
    *,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Place a call through the running stack, between two built-in phones that talk for a while.

    The agent's phone answers on 127.0.0.1:5070, where the routes of a new data folder send calls.
    """
    printer = Printer(as_json=as_json)
    _run(placing.place(data, number, printer), printer)


@app.command(epilog=EXIT_CODES)
def calls(
    *,
    data: Data = DEFAULT_DATA,
    verdict: Annotated[
        str, typer.Option(help="Only recorded, partly_recorded, not_recorded or failed ones.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List calls, newest first, with their verdicts."""

    async def work() -> None:
        async with retrieval(data) as door:
            found = await door.search(verdict, limit)
        printer.document([present.call_document(call) for call in found])
        rows = [present.call_row(call) for call in found]
        printer.table(present.CALL_COLUMNS, rows, present.verdict_styles())

    printer = Printer(as_json=as_json)
    _run(work(), printer)


@app.command(epilog=EXIT_CODES)
def show(
    call: CallId,
    *,
    in_full: Annotated[
        bool, typer.Option("--all", help="Every field, with ids and hashes.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show one call with every fact that was entered about it, and who listened to it."""

    async def work() -> None:
        async with retrieval(data) as door:
            found = (await door.get(await door.id_of(call))).call
        entries = await entries_of(data, found.call_id)
        timeline = [present.timeline_document(entry) for entry in entries]
        printer.document({**present.call_document(found), "timeline": timeline})
        printer.line(present.call_line(found))
        rows = [present.timeline_row(entry, in_full=in_full) for entry in entries]
        printer.table(present.TIMELINE_COLUMNS, rows)

    printer = Printer(as_json=as_json)
    _run(work(), printer)


@app.command(epilog=EXIT_CODES)
def play(
    call: CallId,
    *,
    person: Person,
    output: Annotated[Path, typer.Option("-o", "--output", help="The WAV file to write.")],
    purpose: Purpose = "quality",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Write a call's audio to a WAV file: caller left, agent right.

    Who listens and what for is entered in the ledger before the first octet is released.
    """

    async def work() -> None:
        async with retrieval(data) as door:
            found = await door.id_of(call)
            # Before the release is entered: what cannot be written is not asked for.
            with private_file(output) as file:
                octets = 0
                async for piece in door.audio(found, Listener(person, purpose)):
                    octets += file.write(piece)
        seconds = max(0, octets - WAV_HEADER_OCTETS) / WAV_OCTETS_PER_SECOND
        printer.document(
            {"call": found, "wav": str(output), "octets": octets, "seconds": round(seconds, 3)}
        )
        printer.line(f"{output}: {seconds:.1f} s; entered: {person} listened for {purpose}")

    printer = Printer(as_json=as_json)
    _run(work(), printer)


@app.command(epilog=EXIT_CODES)
def trace(call: CallId, *, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show what each service did for a call, and when: its spans as a tree, its facts among them.

    Times are milliseconds since the first span and how long each took. The ledger names the traces
    of the call; the spans stand in DIR/spans, of each service the newest 20 to 40 MB.
    """

    async def work() -> None:
        async with retrieval(data) as door:
            found = await door.id_of(call)
        entries = await entries_of(data, found)
        if not entries:
            raise BadRequest(f"the ledger has no call {found}: `onrecord calls` lists them")
        folder = DataFolder(data.absolute()).spans
        traces = traces_of(entries, await asyncio.to_thread(read_spans, folder))
        if not traces:
            raise BadRequest(f"{folder} has no span of call {found}: it is too old or too new")
        printer.document({"call": found, "traces": list(map(present.trace_document, traces))})
        for line in (line for trace in traces for line in present.trace_lines(trace)):
            printer.line(line)

    printer = Printer(as_json=as_json)
    _run(work(), printer)


@app.command(epilog=EXIT_CODES)
def verify(
    call: Annotated[
        str | None,
        typer.Argument(help="The call's id, its beginning, or `last`; all.", show_default=False),
    ] = None,
    *,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Check what is stored of the calls against what onrecord promises.

    Asks no service: reads the log, the keys, the objects, the spool and the index themselves. Says
    whether each entry is whole, each party was told before the permit, each frame lies within a
    permit, each object is the one that was listed, each gap and each release is named. Fails when
    one check does not hold.
    """
    printer = Printer(as_json=as_json)
    if not _run(verification.verify(data, call, printer), printer):
        raise typer.Exit(1)


@app.command(epilog=EXIT_CODES)
def demo(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Where to work; a temporary folder.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Place two real calls from end to end and check every promise about them.

    Starts a stack, lets two telephones call each other through it, first recorded, then on the
    unrecorded route, reads spool, object store, ledger and Kafka, and compares with what was said.
    Fails when one check does not hold.
    """
    printer = Printer(as_json=as_json)
    holds = _run(demonstration.run(data, keep=keep, printer=printer), printer)
    if not holds:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()


def _run(work: Coroutine[None, None, T], printer: Printer) -> T:
    try:
        return asyncio.run(work)
    except StandaloneError as error:
        _fail(error, printer)
    except (KeyboardInterrupt, asyncio.CancelledError):
        printer.progress("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def _fail(error: StandaloneError, printer: Printer) -> NoReturn:
    printer.document({"error": error.reason, "message": str(error)})
    printer.progress(f"onrecord: {error}")
    raise typer.Exit(error.exit_code) from None


def _host_port(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise typer.BadParameter(f"{text!r} is not HOST:PORT", param_hint="--sip")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
