# Two commands to know: `make demo` and `make test`. Both prepare a `.venv` by themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test fuzz check format lint types bench bench-policies torture schema docs lowest clean help

help:
	@echo "make demo    simulate the shipped workflows"
	@echo "make test    run the tests"
	@echo "make fuzz    look for new examples that break the invariants, ROUNDS=10 times"
	@echo "make check   format check, lint, types and tests"
	@echo "make bench   measure the speed of the engine and of live runs, as ratios within one run;"
	@echo "             with SESSIONS=DIR also the bill and replays of recorded sessions"
	@echo "make bench-policies SESSIONS=DIR"
	@echo "             measure the shipped policies on recorded sessions, adaptive fitted on one half of"
	@echo "             the repositories and measured on the other; a picture goes to build/policies.svg"
	@echo "make torture a long run against a local server, killed 50 times"
	@echo "make schema  write the JSON Schemas again after a change of the formats"
	@echo "make docs    write the format reference and the output shown in the docs and examples again"
	@echo "make lowest  run the tests against the lowest versions of the dependencies"

# The environment is made again when what it is made from changes.
$(READY): pyproject.toml dev-requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r dev-requirements.txt -e .
	@touch $(READY)

demo: $(READY)
	$(BIN)/ctxbudget simulate jwt_auth
	$(BIN)/ctxbudget simulate research_only
	$(BIN)/ctxbudget simulate self_review --policy aggressive --policy moderate --policy none
	$(BIN)/ctxbudget replay docs/examples/session.jsonl.gz --policy adaptive --policy clear-tool-uses:above=40000

test: $(READY)
	$(BIN)/python -m pytest -n auto

ROUNDS ?= 10
fuzz: $(READY)
	for round in $$(seq $(ROUNDS)); do \
		HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n auto -m hypothesis || exit 1; \
	done

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/live.py
	$(BIN)/python benchmarks/deciding.py $(SESSIONS)
ifdef SESSIONS
	$(BIN)/python benchmarks/bill.py "$(SESSIONS)"
	$(BIN)/python benchmarks/replay.py "$(SESSIONS)"
endif

bench-policies: $(READY)
	@test -n "$(SESSIONS)" || { echo "name a folder of recorded sessions: make bench-policies SESSIONS=DIR"; exit 2; }
	$(BIN)/python benchmarks/policies.py "$(SESSIONS)" --picture build/policies.svg --json build/policies.json

torture: $(READY)
	$(BIN)/python benchmarks/torture.py

schema: $(READY)
	$(BIN)/ctxbudget schema workflow > workflows/workflow.schema.json
	$(BIN)/ctxbudget schema policy > policies/policy.schema.json

docs: schema
	$(BIN)/python docs/made_session.py
	$(BIN)/python docs/make.py

lowest: pyproject.toml dev-requirements.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -r dev-requirements.txt -e .
	.venv-lowest/bin/python -m pytest -n auto

clean:
	rm -rf $(VENV) .venv-lowest .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
