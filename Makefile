# Everything a person or a machine does here goes through these targets; `make help` lists them.
# RISE_REQUIRE=unit,bus,model makes a test ring that cannot run here a failure. ARGS="…" goes to the command of a target.

SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=
# Most tests wait for a server or a process, so two files at a time are done in little more than half the time.
PROCESSES ?= 2

# What is slow and does not depend on the clone is kept outside it, by version.
CACHE := $(or $(RISE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rise)
LOCKED := $(shell cksum < requirements/dev.txt | tr -d ' ')
export MYPY_CACHE_DIR ?= $(shell mkdir -p $(CACHE)/mypy-$(LOCKED) 2>/dev/null && echo $(CACHE)/mypy-$(LOCKED) || echo .mypy_cache)
export RUFF_CACHE_DIR ?= $(shell mkdir -p $(CACHE)/ruff-$(LOCKED) 2>/dev/null && echo $(CACHE)/ruff-$(LOCKED) || echo .ruff_cache)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-nodes check format bench chaos demo-scheduler train crds chart-values chart-rights kind-up kind-down install lock sbom clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from the locked requirements (needs Python >= 3.11; quick when nothing changed)
	@requirements/setup

run: setup ## Draw one picture with two processes: the whole relay, on this machine
	$(BIN)/rise run -f examples/relayjob.yaml $(ARGS)

test: setup ## Run every ring of tests that this machine can run, and name those it cannot (PROCESSES=1: one after another)
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-nodes: setup ## The nodes ring alone: kubelets and containers on this machine, as root (PREPARE=1 installs what it lacks)
	@if [ -n "$(PREPARE)" ]; then tests/nodes/prepare; fi
	RISE_NODES=1 RISE_REQUIRE=nodes $(BIN)/pytest tests/nodes $(ARGS)

check: setup ## Lint, format, types, import rules, the lock files against pyproject.toml, and what is known against them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	RISE_REQUIRE= $(BIN)/pytest -q tests/test_requirements.py
	$(BIN)/python -m tests.audit

format: setup ## Put the code into the one format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure the relay against the large model alone: out/bench-relay.json, a table and a plot
	$(BIN)/rise bench relay --json out/bench-relay.json $(ARGS)

chaos: setup ## Every fault at every moment, and 2,000 jobs in a storm of them: an hour; benchmarks/results/chaos.json, docs/reliability.md
	$(BIN)/python -m benchmarks.chaos --door all --json benchmarks/results/chaos.json --docs docs/reliability.md $(ARGS)

demo-scheduler: setup ## The scheduler against every static configuration, on a real platform: half an hour, and a plot in out/
	$(BIN)/python -m benchmarks.demo_scheduler --json out/demo-scheduler.json $(ARGS)

train: setup ## Train the embedded family from nothing (hours on CPU; resumable, goes on where it stopped)
	$(BIN)/python -m rise_shapes.training $(ARGS)

crds: setup ## Write crds/*.yaml anew from the models in services/contracts
	$(BIN)/python -m rise_contracts.crds crds

chart-values: setup ## Write the table of values in charts/rise/README.md anew from the chart's schema
	$(BIN)/python -m tests.chart.values_table

chart-rights: setup ## Write the chart's lists of rights on NATS anew from rise_contracts.rights
	$(BIN)/python -m tests.chart.rights_file

kind-up: ## A kind cluster (one edge node, one device node) with Rise on it, and one picture drawn there
	@charts/kind/up $(ARGS)

kind-down: ## Delete that cluster
	@charts/kind/down

install: ## Install into an existing cluster, through the context you name: make install CONTEXT=name (ARGS="--set …" goes to helm)
	@charts/kind/install "$(CONTEXT)" "$(TAG)" $(ARGS)

lock: setup ## Write requirements/*.txt anew from pyproject.toml (UPGRADE=1 takes the newest of everything)
	UV=$(BIN)/uv requirements/lock

sbom: setup ## List what is in each image: out/sbom-<image>.json (CycloneDX), from its lock file
	@mkdir -p out
	@for image in operator scheduler stage; do \
	    $(BIN)/cyclonedx-py requirements requirements/$$image.txt --output-reproducible \
	        --output-file out/sbom-$$image.json && echo out/sbom-$$image.json || exit 1; \
	done

clean: ## Remove the environment, the caches in this folder and what the commands wrote under out/
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist out
