"""`fastkv`, and `python -m fastkv_cli`."""

import sys
from typing import NoReturn

from .errors import OUT_OF_MEMORY, ExitCode, is_memory_error
from .output.standard_streams import prepare_streams
from .system.isolated import forget_current_folder
from .system.quick_start import collector_paused, defer_meta_kernels


def main() -> None:
    """Run the command line; Ctrl-C is one line on stderr from the first import on."""
    try:
        prepare_streams()
        forget_current_folder()
        defer_meta_kernels()
        with collector_paused():
            from .cli.app import main as run
    except KeyboardInterrupt:
        _leave("interrupted", ExitCode.INTERRUPTED)
    except (ImportError, MemoryError, OSError) as error:
        if not is_memory_error(error):
            raise
        _leave(str(OUT_OF_MEMORY), ExitCode.MEMORY)
    run()


def _leave(message: str, code: ExitCode) -> NoReturn:
    print(f"fastkv: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
