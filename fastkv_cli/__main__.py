"""`python -m fastkv_cli`."""

from .cli import main

main()
