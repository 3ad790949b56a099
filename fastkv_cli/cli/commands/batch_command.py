"""`fastkv batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ...errors import UsageError
from ..option_sets import BatchRunOptions, ExportOptions, PlainOptions, with_options

_COMMANDS = ("run", "status", "export")


class _BatchGroup(TyperGroup):
    """The commands of a batch; `run` may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*_COMMANDS, "--help", "-h"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


batch = typer.Typer(
    cls=_BatchGroup,
    help="Summarize, question or fill in fields from many documents, into a folder that any run "
    "can go on with.",
    epilog="[cyan]fastkv batch PATH… --out DIR[/] is short for [cyan]fastkv batch run[/].",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH…]",
        show_default=False,
        help="Documents, folders or patterns; none goes on with those that DIR knows.",
    ),
]
FolderArg = Annotated[
    Path, typer.Argument(metavar="DIR", show_default=False, help="The folder of the results.")
]

JsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Output", help="Print one JSON object with all fields."),
]
CsvOpt = Annotated[
    bool,
    typer.Option("--csv", help="A line for each answer: path, question, answer, verdict, quote."),
]
JsonlOpt = Annotated[bool, typer.Option("--jsonl", help="A JSON object a document, as kept.")]
MdOpt = Annotated[bool, typer.Option("--md", help="A section a document, to read.")]


def run(paths: PathsArg = None, *, options: BatchRunOptions) -> None:
    """Summarize or question each document, or fill in fields; keep one result each in --out.

    Run again to go on: what is done is skipped, new and changed files are added.
    """
    from ...batch.batch_task import choose_tasks

    out = options.check_batch()
    tasks = choose_tasks(
        options.ask or [], options.summary, options.schema, multi=options.schema_multi
    )
    known = (out / "index.sqlite").exists()
    if not paths and not options.from_file and not known:
        raise UsageError("no document is named", "as in: fastkv batch reports/ --out results")
    from .. import batch_console

    batch_console.run(paths or [], tasks, options)


def status(folder: FolderArg, json: JsonOpt = False, *, options: PlainOptions) -> None:
    """Print how many documents are done, failed and left, the pace, and the time left."""
    del options  # prints no messages
    from .. import batch_reports

    batch_reports.show_status(folder, json=json)


def export(
    folder: FolderArg,
    csv: CsvOpt = False,
    jsonl: JsonlOpt = False,
    md: MdOpt = False,
    *,
    options: ExportOptions,
) -> None:
    """Print all results, ordered by path, as one CSV, JSON Lines or Markdown text."""
    chosen = [name for name, wanted in (("csv", csv), ("jsonl", jsonl), ("md", md)) if wanted]
    if len(chosen) != 1:
        raise UsageError("choose the form of the export", "give one of --csv, --jsonl and --md")
    from ...batch.export import ExportForm
    from .. import batch_reports

    batch_reports.write_export(folder, ExportForm(chosen[0]), options.output, force=options.force)


for command in (run, status, export):
    batch.command(command.__name__)(with_options(command))
