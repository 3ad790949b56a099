"""`fastkv`, and `python -m fastkv_cli`."""

import sys

from .errors import ExitCode
from .isolated import forget_current_folder


def main() -> None:
    """Run the command line; Ctrl-C is one line on stderr from the first import on."""
    try:
        forget_current_folder()
        from .cli import main as run
    except KeyboardInterrupt:
        print("fastkv: interrupted", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
