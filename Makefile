# Everything a developer runs. `make` alone lists the targets.
# Linux, macOS and WSL. PYTHON=/path/to/python selects the interpreter; UV= selects pip instead of uv.

PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)
PYTHON := $(PYTHON)
UV     ?= $(shell command -v uv)
export UV

VENV  := .venv
BIN   := $(VENV)/bin
TOOLS := .tools
SAM     ?= $(TOOLS)/sam/bin/sam
CHECKOV := $(TOOLS)/checkov/bin/checkov
NPM_TOOLS := $(if $(shell command -v npm),$(TOOLS)/js/.installed)
NPM_BIN   := $(TOOLS)/js/node_modules/.bin

export SAM_CLI_TELEMETRY = 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run sam-local test unit test-emulated test-environment coverage fuzz check format lint types template audit docs build \
  deploy before-deploy stop-emulated-aws environment bench screenshots time lock release clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

##@ Run on this machine

run: $(VENV)/.run  ## Start the local stack and print how to get a first token (ARGS="--port 8200").
	@exec $(BIN)/roomkey run $(ARGS)

sam-local: $(VENV)/.run  ## Start SSM and Secrets Manager for `sam local` and print how to continue.
	@exec $(BIN)/roomkey run --aws-host 0.0.0.0 --aws-port 8001 $(ARGS)

##@ Test

unit: $(VENV)/.dev  ## Run the unit tests (ARGS="-k policy").
	@$(PYTEST) tests/unit $(ARGS)

test: $(VENV)/.dev  ## Run all tests that need neither Docker nor an emulated AWS (ARGS="-k policy").
	@$(PYTEST) -m "not docker and not emulated" $(ARGS)
# Whole files go to a worker, so a file's local stack starts once; e2e tests come last. Some containers forbid bytecode,
# and without it each process compiles all that it imports.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-emulated: $(VENV)/.dev $(TOOLS)/ministack/.installed  ## Test a deployment to an emulated AWS.
	@$(PYTEST) -m emulated $(ARGS)

test-environment: $(VENV)/.dev  ## Install all tools and test dependencies into .venv.

check: lint types template coverage  ## Run everything that CI runs, except the audit.

coverage: $(VENV)/.dev  ## Run all tests and require 99 % branch coverage of functions/.
	@$(PYTEST) --cov=functions --hypothesis-profile=thorough $(ARGS)

fuzz: $(VENV)/.dev  ## Try random examples, then fuzz each parser for a minute (ARGS="--seconds 360 handler").
	@$(PYTEST) -m hypothesis --hypothesis-profile=random
	@$(BIN)/python tests/fuzz/run.py $(ARGS)

time: $(VENV)/.dev  ## Time the first `make run` and an install of the wheel, to a first token.
	@$(BIN)/python scripts/time_install.py

##@ Code and documentation

format: $(VENV)/.dev $(NPM_TOOLS)  ## Format the code and fix what can be fixed.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(if $(NPM_TOOLS),$(NPM_BIN)/biome check --write)

lint: $(VENV)/.dev $(NPM_TOOLS)  ## Check format, rules, layers and generated files; with npm, JavaScript and links.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo
	PYTHONPATH=tests $(BIN)/python scripts/reference.py --check
	$(if $(NPM_TOOLS),$(NPM_BIN)/biome check --error-on-warnings)
	$(if $(NPM_TOOLS),$(NPM_BIN)/remark --frail --quiet --no-stdout $$(git ls-files '*.md'))

types: $(VENV)/.dev  ## Check types, strictly.
	$(BIN)/mypy

docs: $(VENV)/.dev  ## Write the generated parts of the documentation and of template.yaml.
	PYTHONPATH=tests $(BIN)/python scripts/reference.py

screenshots: $(VENV)/.dev  ## Take the pictures of the console in docs/images again (needs Chromium).
	@cd tests && ../$(BIN)/python -m e2e.screenshots

##@ Deploy

# The first command translates the template, the second checks it against CloudFormation's schemas.
template: $(TOOLS)/sam/.installed  ## Validate the template.
	$(SAM) validate
	$(SAM) validate --lint

audit: $(VENV)/.dev $(TOOLS)/checkov/.installed  ## Scan the stacks of the environments in config/ for insecure settings.
	$(BIN)/python tests/infrastructure/translated.py .aws-sam/audit
	$(CHECKOV) --config-file .checkov.yaml

build: $(TOOLS)/sam/.installed  ## Build the package for AWS, with bytecode. Needs Python 3.13, the version in Lambda.
	@python3.13 -V >/dev/null 2>&1 || { echo "make build needs python3.13 on PATH: Lambda reads only its own bytecode."; exit 1; }
	$(SAM) build
	$(TOOLS)/sam/bin/python scripts/authorities.py .aws-sam/build/Function/roomkey/aws/authorities
	@# The function uses Powertools' logger. The rest would be three quarters of the package.
	cd .aws-sam/build/Dependencies/python/aws_lambda_powertools && rm -rf event_handler && \
	  find utilities -mindepth 1 -maxdepth 1 -type d ! -name jmespath_utils -exec rm -rf {} +
	@# Lambda's disk is read-only: without bytecode, every cold start compiles everything. By content, not by time, since
	@# copying changes times, and with the names that the files will have there.
	$(COMPILE) -s .aws-sam/build/Function -p /var/task .aws-sam/build/Function
	$(COMPILE) -s .aws-sam/build/Dependencies -p /opt .aws-sam/build/Dependencies
COMPILE := python3.13 -m compileall -q --invalidation-mode unchecked-hash

# SAM reads AWS_DEFAULT_REGION only; the AWS CLI and roomkey prefer AWS_REGION.
ifdef AWS_REGION
export AWS_DEFAULT_REGION := $(AWS_REGION)
endif

# An endpoint on this machine is an emulated AWS: `roomkey up` deploys to the one that it talks to.
AWS ?= $(if $(findstring //127.0.0.1:,$(AWS_ENDPOINT_URL)),emulated)
ifeq ($(AWS),emulated)
# git ignores the rehearsal's file, in which `roomkey up` writes its answers.
environment: $(filter config/rehearsal.yaml,config/$(ENV).yaml)
config/rehearsal.yaml:
	@sed 's/`dev`/`rehearsal`/; s/^Environment: dev$$/Environment: rehearsal/' config/dev.yaml >$@

deploy: environment $(VENV)/.run build $(TOOLS)/ministack/.installed
	@PYTHONPATH=tests $(TOOLS)/ministack/bin/python -m emulated.aws deploy config/$(ENV).yaml
else
deploy: environment before-deploy template build  ## Deploy an environment of config/ (ENV=dev), or rehearse: ENV=rehearsal AWS=emulated.
	@# A new value each time, or a changed parameter would publish no new version of the function.
	$(SAM) deploy --stack-name roomkey-$(ENV) --tags service=roomkey environment=$(ENV) \
	  --parameter-overrides file://config/$(ENV).yaml Release=$$(date +%s) $(ARGS)
endif

# Seconds, before the minutes of a build: configuration, tools, credentials, the stack's state.
before-deploy: $(VENV)/.run
	@$(BIN)/roomkey doctor $(ENV) --before-deploy

stop-emulated-aws:  ## Stop what `make deploy ENV=rehearsal AWS=emulated` started.
	@if [ -x $(TOOLS)/ministack/bin/python ]; then PYTHONPATH=tests $(TOOLS)/ministack/bin/python -m emulated.aws stop; \
	  else echo "No emulated AWS is running."; fi

# Runs before the build. The file must contain the same name, or another environment would be overwritten.
environment:
	@grep -qsx 'Environment: $(ENV)' config/$(ENV).yaml \
	  || { echo 'make deploy needs ENV=NAME and a file config/NAME.yaml with the line "Environment: NAME".'; exit 1; }

##@ Measure

bench: $(TOOLS)/bench/.installed build  ## Measure cold starts, warm requests and cost beside others (ARGS="--publish").
	@$(TOOLS)/bench/bin/python benchmarks/bench.py $(ARGS)

##@ Maintain

lock: $(TOOLS)/uv/.installed  ## Re-pin all dependencies, with hashes.
	$(LOCK) --universal --python-version 3.12 --all-extras --group dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --universal --python-version 3.12 --extra local --group build -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	$(LOCK) --python-version 3.13 layers/dependencies/requirements.in -o layers/dependencies/requirements.txt
	for tool in sam oldest-sam ministack policy-sentry zizmor checkov bench vendors uv; do \
	  $(LOCK) --universal --python-version 3.12 requirements/$$tool.in -o requirements/$$tool.txt || exit; done
	for part in runtime contenders/boto3 contenders/powertools; do \
	  $(LOCK) --python-version 3.13 benchmarks/$$part/requirements.in -o benchmarks/$$part/requirements.txt || exit; done
	cd requirements/js && npm update --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
LOCK := $(TOOLS)/uv/bin/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url \
  --no-emit-find-links

release: $(VENV)/.dev build  ## Build the wheel, the SAM package and the release notes in dist/.
	rm -rf dist
	$(BIN)/python -m hatchling build --target wheel
	@# With what `sam deploy` needs besides the built template.
	tar -czf dist/roomkey-sam-$$($(BIN)/python -c 'import roomkey; print(roomkey.__version__)').tar.gz \
	  -C .aws-sam build -C $(CURDIR) config samconfig.toml
	awk '/^## / {seen++} seen == 1' CHANGELOG.md >dist/NOTES.md

clean:  ## Remove everything that make created, environments included.
	rm -rf $(VENV) $(TOOLS) config/rehearsal.yaml .aws-sam dist .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# --- environments ----------------------------------------------------------------------------------------------------
# Each install removes the stamp first and writes it last, so make repeats an interrupted install.

$(VENV)/.run: requirements/run.txt
	@scripts/install $(VENV) requirements/run.txt '$(PYTHON)' --editable
	@touch $@

# A superset of .run with the same versions, in the same environment.
$(VENV)/.dev: requirements/dev.txt
	@scripts/install $(VENV) requirements/dev.txt '$(PYTHON)' --editable
	@touch $(VENV)/.run $@

$(TOOLS)/js/.installed: requirements/js/package-lock.json
	@rm -rf $(@D) && mkdir -p $(@D) && cp requirements/js/*.json $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund
	@touch $@

$(TOOLS)/%/.installed: requirements/%.txt
	@scripts/install $(TOOLS)/$* $< '$(PYTHON)'
	@touch $@
