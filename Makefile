# `make` lists the targets. ARGS goes to the program that a target runs; EXTRAS is a list such as
# bench,ray; PYTHON names the interpreter for .venv (3.11 to 3.13; default: the first on PATH).

ARGS ?=
EXTRAS ?=
PYTHON ?=
export PYTHON
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

PY := .venv/bin/python
comma := ,
SETUP := .ci/setup $(subst $(comma), ,$(EXTRAS))

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all test-faults check docs fix bench lock

help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 16

setup: ## Make or update .venv from the locks (EXTRAS=bench,ray adds extras)
	@$(SETUP)

run: ## Run run.py; without ARGS, the demo
	@$(SETUP) demo
	@$(PY) run.py $(ARGS)

test: ## Run the tests in two processes (ARGS="-k name", ARGS="-m 'not slow'", ARGS=-n0 in one)
	@$(SETUP) dev demo postgres baselines ray tensorboard mlflow onnx
	@$(PY) -m pytest -n 2 --dist loadscope -m 'not repeat' $(ARGS)

test-all: ## Run all tests, also those that repeat end to end what others show
	@$(SETUP) dev demo postgres baselines ray tensorboard mlflow onnx
	@$(PY) -m pytest -n 2 --dist loadscope $(ARGS)

test-faults: ## Kill, fill, stop and damage what a search stands on (ARGS="-k disk"; needs root)
	@$(SETUP) dev postgres ray
	@.ci/system-packages
	@XFERNAS_FAULTS=1 $(PY) -m pytest tests/faults $(ARGS)

check: ## Check format, lint and types
	@$(SETUP) dev mlflow
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m pyright --pythonpath $(PY)

docs: ## Build the documentation site, build/site/html (a warning is an error)
	@$(SETUP) docs
	@$(PY) docs/site/make_source.py build/site/source
	@$(PY) -m sphinx -W --keep-going -q -c docs/site build/site/source build/site/html
	@echo "docs: build/site/html/index.html"

fix: ## Format, and repair what the linter can
	@$(SETUP) dev
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

bench: ## Time training steps and evaluations beside PyTorch's, devices, surrogate (ARGS: the first)
	@$(SETUP) bench
	@$(PY) -m experiments.bench.train_step $(ARGS)
	@$(PY) -m experiments.bench.evaluation_share
	@$(PY) -m experiments.bench.evaluations_per_hour
	@$(PY) -m experiments.bench.fused_steps
	@$(PY) -m experiments.bench.devices
	@$(PY) -m experiments.bench.predictor_cost

lock: ## Make requirements.txt and .ci/locks anew (ARGS=--upgrade takes the newest)
	@$(SETUP) dev
	@.ci/lock $(ARGS)
