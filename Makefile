# One command sets everything up: `make demo` shows fastkv at work, `make test` checks it.
# Both make .venv, install what constraints.txt pins, and bring the embedded model (98 MB).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUESTION := What is a look-up secret authenticator?

.PHONY: demo test format completions clean

demo: $(READY)
	$(BIN)/fastkv summarize examples/siege-of-vicksburg.pdf
	$(BIN)/fastkv ask examples/password-rules.txt "$(QUESTION)"

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

completions: $(READY)
	$(BIN)/python -m fastkv_cli.completions

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
