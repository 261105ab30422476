# Everything a developer does here. `make` alone lists it.

PYTHON := $(shell for python in python3.13 python3; do $$python -c 'import sys' 2>/dev/null && echo $$python && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
TOOLS  := .tools
SAM    ?= $(TOOLS)/sam/bin/sam
CHECKOV := $(TOOLS)/checkov/bin/checkov
ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

export SAM_CLI_TELEMETRY = 0

.DEFAULT_GOAL := help
.PHONY: help run test check format lint types template audit build deploy environment bench choices storm screenshots sam-local sdk-data lock threats fuzz mutants clean

help:  ## List what there is to do.
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)  ## Start the whole thing on this machine and say how to get a first token (ARGS="--port 8200").
	@$(BIN)/roomkey run $(ARGS)

test: $(VENV)  ## Run every test that needs no cloud; those that need Docker where it is there (ARGS="-k switch").
	@$(BIN)/python -m pytest $(ARGS)

check: lint types template test  ## All that CI runs: format, lint, types, template, tests.

format: $(VENV)  ## Put the code in its one format.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(VENV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)
	$(BIN)/mypy

# The two look at different things: one translates the template, the other holds it against CloudFormation's schemas.
template: $(SAM)
	$(SAM) validate
	$(SAM) validate --lint

audit: $(VENV) $(CHECKOV)  ## Look for what is unsafe, in the stacks that the environments in config/ become.
	$(BIN)/python tests/infrastructure/translated.py .aws-sam/audit
	$(CHECKOV) --config-file .checkov.yaml

build: $(SAM) $(VENV)  ## Build the stack, with the bytecode that `sam build` leaves out. Needs Python 3.13.
	$(SAM) build
	@# Lambda's disk is read-only: without bytecode, every cold start compiles everything. By content, not by time, since
	@# copying changes times, and with the names that the files will have there. Only the Lambda's own minor version
	@# makes bytecode that it can use.
	$(COMPILE) -s .aws-sam/build/Function -p /var/task .aws-sam/build/Function
	$(COMPILE) -s .aws-sam/build/Dependencies -p /opt .aws-sam/build/Dependencies
COMPILE := python3.13 -m compileall -q --invalidation-mode unchecked-hash

deploy: environment template build  ## Deploy an environment of config/ with your AWS credentials (ENV=staging).
	@# Ten digits that are new each time, or a changed parameter would publish no new version of the function.
	$(SAM) deploy --stack-name roomkey-$(ENV) --tags service=roomkey environment=$(ENV) \
	  --parameter-overrides file://config/$(ENV).yaml Release=$$(date +%s) $(ARGS)

# Before anything is built. The file must say the same name, or it would be deployed over another environment.
environment:
	@grep -qsx 'Environment: $(ENV)' config/$(ENV).yaml \
	  || { echo 'make deploy wants ENV=NAME with a file config/NAME.yaml that says "Environment: NAME".'; exit 1; }

bench: $(TOOLS)/bench build  ## Measure cold starts, the warm path and what it costs, beside others (ARGS="--rounds 5 --publish").
	@$(TOOLS)/bench/bin/python benchmarks/bench.py $(ARGS)

choices: $(TOOLS)/bench build  ## Measure what each choice for speed buys (docs/performance.md; ARGS="--publish").
	@$(TOOLS)/bench/bin/python benchmarks/choices.py $(ARGS)

storm: $(VENV)  ## Simulate many environments starting at once against SSM's quota (docs/capacity.md).
	@$(BIN)/python benchmarks/storm.py $(ARGS)

threats: $(VENV)  ## Write docs/threats.md anew, from tests/threats.toml and the tests' markers.
	@$(BIN)/python tests/threats.py

screenshots: $(VENV)  ## Make the pictures of the console in docs/images anew (needs Chromium).
	@cd tests && ../$(BIN)/python -m e2e.screenshots

fuzz: $(VENV)  ## Fuzz what reads what others wrote, each target for a minute (ARGS="--seconds 360 handler").
	@$(BIN)/python tests/fuzz/run.py $(ARGS)

mutants: $(VENV)  ## Change what decides in one place at a time, and see whether its tests notice (ARGS="policy").
	@$(BIN)/python tests/mutants.py $(ARGS)

sam-local: $(VENV)  ## Start what `sam local` needs, Secrets Manager and SSM with demo state, and say how to go on.
	@$(BIN)/roomkey run --aws-host 0.0.0.0 --aws-port 8001 $(ARGS)

sdk-data: $(VENV)  ## Take what the function needs of the SDK's data anew, from the SDK that is pinned.
	$(BIN)/python requirements/sdk_data.py

lock: $(TOOLS)/uv/bin/uv  ## Pin what is required anew, by hash.
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --universal --python-version 3.12 --group dev pyproject.toml -o requirements/dev.txt
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --python-version 3.13 layers/dependencies/requirements.in -o layers/dependencies/requirements.txt
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --universal --python-version 3.12 requirements/sam.in -o requirements/sam.txt
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --universal --python-version 3.12 requirements/checkov.in -o requirements/checkov.txt
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --universal --python-version 3.12 requirements/bench.in -o requirements/bench.txt
	$(TOOLS)/uv/bin/uv pip compile $(LOCK) --universal --python-version 3.12 requirements/oldest-sdk.in -o requirements/oldest-sdk.txt
	for part in runtime contenders/simple contenders/powertools; do \
	  $(TOOLS)/uv/bin/uv pip compile $(LOCK) --python-version 3.13 benchmarks/$$part/requirements.in -o benchmarks/$$part/requirements.txt; done
LOCK := -q --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean:  ## Remove what was made here, environments included.
	rm -rf $(VENV) $(TOOLS) .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- environments ----------------------------------------------------------------------------------------------------

PIP := -m pip install -q --disable-pip-version-check

$(VENV): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null \
	  || { echo "Roomkey needs Python 3.12 or newer, and found $(or $(shell $(PYTHON) -V 2>/dev/null),none)."; exit 1; }
	@echo "Making $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) --require-hashes -r requirements/dev.txt
	@$(BIN)/python $(PIP) --no-build-isolation --no-deps -e .
	@touch $(VENV)

$(TOOLS)/%: requirements/%.txt
	@echo "Making $@ (once) ..."
	@$(PYTHON) -m venv --clear $@
	@$@/bin/python $(PIP) --require-hashes -r $<
	@touch $@

$(TOOLS)/sam/bin/sam: | $(TOOLS)/sam
$(TOOLS)/checkov/bin/checkov: | $(TOOLS)/checkov
$(TOOLS)/uv/bin/uv:
	$(PYTHON) -m venv $(TOOLS)/uv
	$(TOOLS)/uv/bin/python $(PIP) uv
