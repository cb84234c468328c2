# The command contract. `make up` and `make test` need Python >= 3.11 and a package registry, nothing else.
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.PHONY: help up down token ask audit test check format policy reachability cost scan preflight forecast workload bench tools

UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
PYTHON := .venv/bin/python
# python3, or the system's of the same version: distributions build theirs with profile-guided optimisation, as that of
# the images is, and without it everything takes a tenth longer. PYTHON3=… names another.
PYTHON3 ?= $(shell of='import asyncio, ctypes, lzma, sqlite3, ssl, sys; print(sys.version_info[:2])'; \
	own=$$(python3 -c "$$of" 2>/dev/null) && [ "$$own" = "$$(/usr/bin/python3 -c "$$of" 2>/dev/null)" ] \
	&& echo /usr/bin/python3 || echo python3)
READY := .venv/.ready
# Bytecode goes below build/, and is written: without it every process compiles pulumi_aws anew.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/bytecode
override export PYTHONDONTWRITEBYTECODE :=
export QUESTION

help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

up: $(READY) ## deploy, start, ingest, ask, attack, verify, report [MODEL_URL=<OpenAI-compatible base URL>]
	@$(PYTHON) -m stacks.local.up $(if $(MODEL_URL),--model-url '$(MODEL_URL)')

down: $(READY) ## stop and remove what `up` started
	@$(PYTHON) -m stacks.local.down

token: $(READY) ## print a bearer token of the running local platform: ROLE=analyst [TENANT=acme]
	@$(PYTHON) -m stacks.local.parts.token --role '$(or $(ROLE),analyst)' --tenant '$(or $(TENANT),acme)'

ask: $(READY) ## ask the running local platform: QUESTION='…' [ROLE=analyst] [TENANT=acme] [MODEL=local]
	@$(PYTHON) -m stacks.local.ask "$$QUESTION" --role '$(or $(ROLE),analyst)' --tenant '$(or $(TENANT),acme)' --model '$(or $(MODEL),local)'

audit: $(READY) ## verify the audit chain of the running local platform
	@set -a; . build/local/gateway.env; .venv/bin/gateway audit verify

test: check ## everything CI runs
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGUMENTS)

check: $(READY) ## the static part of it: format, lint, types, import contracts
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/mypy

format: $(READY) ## write the format that `check` wants
	@.venv/bin/ruff check --quiet --fix . || true
	@.venv/bin/ruff format --quiet .

policy: $(READY) ## both policy packs over every program, environment and mode [ENVIRONMENT=prod]
	@$(PYTHON) -m stacks.local.policy_report $(if $(ENVIRONMENT),--environment '$(ENVIRONMENT)') $(POLICY_ARGUMENTS)

reachability: $(READY) ## prove who can reach whom [ENVIRONMENT=prod] [SVG=file]
	@$(PYTHON) -m stacks.local.reachability $(if $(ENVIRONMENT),--environment '$(ENVIRONMENT)') $(if $(SVG),--svg '$(SVG)')

cost: $(READY) ## monthly idle cost and token prices before deployment [ENVIRONMENT=prod]
	@$(PYTHON) -m stacks.local.cost $(if $(ENVIRONMENT),--environment '$(ENVIRONMENT)') $(COST_ARGUMENTS)

scan: $(READY) ## Checkov over every program; each finding with its reason [ENVIRONMENT=prod]
	@$(PYTHON) -m stacks.local.scan $(if $(ENVIRONMENT),--environment '$(ENVIRONMENT)')

preflight: $(READY) ## whether an AWS account has what an environment needs: ENVIRONMENT=dev (reads only)
	@$(PYTHON) -m stacks.preflight --environment '$(or $(ENVIRONMENT),dev)' $(PREFLIGHT_ARGUMENTS)

forecast: $(READY) ## replicas and cost of model servers ahead of time [HISTORY=tokens.csv] [CAPACITY=capacity.toml]
	@.venv/bin/forecast plan --capacity '$(or $(CAPACITY),services/forecast/capacity.example.toml)' --out build/forecast \
		$(if $(HISTORY),--history '$(HISTORY)',--synthetic 7) $(FORECAST_ARGUMENTS)

workload: $(READY) ## start a new AI workload: NAME=… DATA_CLASS=… [BOUNDARY=…] [OWNER=…] [TENANTS=a,b] [UPDATE=1]
	@$(PYTHON) -m stacks.fork $(if $(NAME),--name '$(NAME)') $(if $(DATA_CLASS),--data-class '$(DATA_CLASS)') \
		$(if $(BOUNDARY),--boundary '$(BOUNDARY)') $(if $(OWNER),--owner '$(OWNER)') \
		$(if $(TENANTS),--tenants '$(TENANTS)') $(if $(UPDATE),--update)

bench: $(READY) ## figures and ratios against references in the same run
	@$(PYTHON) -m bench

tools: $(READY) ## install everything that the other commands need

$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed as python3 (found: $$(python3 --version 2>&1))" >&2; exit 1; }
	@rm -rf .tools/uv
	@python3 -m venv .tools/uv 2>/dev/null || \
		{ echo "python3 cannot make virtual environments: install the package python3-venv" >&2; exit 1; }
	@.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(READY): pyproject.toml uv.lock $(UV)
	@$(UV) sync --locked --quiet --python "$$(command -v '$(PYTHON3)')"
	@touch $(READY)
