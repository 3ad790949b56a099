"""The command line: Typer app, options, commands and chat."""
