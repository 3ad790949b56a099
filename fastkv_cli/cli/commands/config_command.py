"""`fastkv config`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..option_sets import PlainOptions

JsonOpt = Annotated[
    bool,
    typer.Option("--json", rich_help_panel="Output", help="Print one JSON object with all fields."),
]


def config(json: JsonOpt = False, *, options: PlainOptions) -> None:
    """Show each setting with where it comes from.

    An option on the command line wins over its variable, that over the project's fastkv.toml, and
    that over your own file.
    """
    del options
    from ...output.render.settings_table import settings_json, settings_table
    from ...settings import project_file, user_file
    from ..effective_settings import all_effective
    from ..housekeeping import write_tables, write_text

    settings = [(each.name, each.value, each.source) for each in all_effective()]
    files = {"project": project_file(), "user": user_file()}
    if json:
        write_text(settings_json(settings, files))
    else:
        write_tables(*settings_table(settings, files))
