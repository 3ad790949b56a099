"""Print the test files of what has changed, for `make check`.

Changed is what is not committed yet; where everything is, what was committed since main (or the
REF given). A changed module is tested by the file named after it, or else by the three files with
the fewest imports that import it: `make test` runs the rest.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE, TESTS = "fastkv_cli", Path("tests")
ALWAYS = {TESTS / "test_imports.py", TESTS / "test_layout.py"}
MOST = 3  # test files for a module that has none of its own name
IMPORT = re.compile(
    r"^\s*(?:from (fastkv_cli[\w.]*) import (\([^)]*\)|.*)|import (fastkv_cli[\w.]*))", re.M
)


def changed_files(base: str) -> set[Path]:
    """Relative to the root of the repository, where this runs; without those removed."""
    named = _git("diff", "--name-only", "HEAD") + _git("ls-files", "--others", "--exclude-standard")
    if not named:
        named = _git("diff", "--name-only", f"{base}...HEAD")
    return {Path(name) for name in named if Path(name).is_file()}


def tests_of(changed: set[Path]) -> set[Path]:
    """The test files for these changed files."""
    files = sorted(TESTS.rglob("test_*.py"))
    imports = {file: _imports_of(file) for file in files}
    chosen = {file for file in files if file in changed}
    for path in changed:
        if path.suffix != ".py" or path.parts[0] not in {PACKAGE, TESTS.name} or path in chosen:
            continue
        own = [file for file in files if file.stem == f"test_{path.stem}"]
        name = _module_name(path)
        importing = [file for file in files if name in imports[file]]
        chosen.update(own or sorted(importing, key=lambda file: len(imports[file]))[:MOST])
    return chosen


def _module_name(path: Path) -> str:
    """As an import has it: tests import each other by their bare names."""
    parts = path.with_suffix("").parts
    if parts[0] == TESTS.name:
        return parts[-1]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports_of(file: Path) -> set[str]:
    text = file.read_text(encoding="utf-8")
    found = set(re.findall(r"^from (\w+) import", text, re.M))
    for package, names, plain in IMPORT.findall(text):
        found.add(package or plain)
        found.update(f"{package}.{name}" for name in re.findall(r"\w+", names))
    return found


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else "main"
    print(*sorted(tests_of(changed_files(base)) | ALWAYS))
