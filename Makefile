# The house's doors. `make` lists them; every one sets up what it needs first.
# Needs Python 3.11 or newer (with venv), GNU make and git; everything else comes, pinned and hashed, from PyPI.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# Looked up only when an environment has to be made. Override: make setup PYTHON=/path/to/python
PYTHON = $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$name; break; fi; done)
IMAGE := execution-strategy-service
# make lock UPGRADE=1 takes newer versions; without it pins stay unless pyproject.toml asks for another.
UPGRADE :=
# make bench-latency SHORT=1 measures for seconds, not minutes.
SHORT :=
PYTEST_ARGS :=
# Files of tests run side by side, one a processor and four at most (tests/README.md); 0 is one after the other.
TEST_PROCESSES := logical

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name words; do \
	printf '  %-16s %s\n' "$$name" "$$words"; done

# ---- environment

.PHONY: setup setup-dev
setup: .setup-runtime .setup-warm  ## make the environment that the service runs in
setup-dev: .setup-dev .setup-warm  ## add what tests, checks and training need

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with the venv module was found (Debian: python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# A stamp is older than the lock file (or the packaging) exactly when the environment is.
.setup-runtime: requirements/runtime.lock pyproject.toml $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r requirements/runtime.lock
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# The development lock holds every pin of the runtime lock, so one pass does both.
.setup-dev: requirements/dev.lock requirements/runtime.lock pyproject.toml $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch .setup-runtime $@

# Compiled code is cached by the file it stands in, and does not see that a file it calls has changed: whenever any
# source is newer, all of it goes, and is compiled anew.
.setup-warm: $(wildcard engine/*.py engine/*/*.py service/warmup.py service/*_compiled.py service/mapping/wire*.py \
		store/eventfds.py store/*/*_compiled.py)
	@test -f .setup-runtime || $(MAKE) --no-print-directory .setup-runtime
	@find engine service store training benchmarks tests -name '*.nb[ci]' -delete
	@echo "compiling the decision call" && $(PY) -m service.warmup
	@touch $@

# ---- run

.PHONY: demo serve
demo: setup  ## start the service, send real-looking orders, show decisions and stored rows
	$(BIN)/ess demo

serve: setup  ## run the service (ESS_* variables configure it)
	exec $(BIN)/ess serve

.PHONY: native
native:  ## build the gateways in C++ and Java and the load generator into build/native (packages: docs/clients.md)
	@mkdir -p build && clients/build.sh

# ---- prove

.PHONY: test check
test: setup-dev  ## run the tests (PYTEST_ARGS=... for a part of them)
	$(PY) -m pytest --numprocesses $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

# The layout of lines is not enforced: formulas and tables are laid out by hand where that reads better.
check: setup-dev  ## lint, types, imports, contract, generated code
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint generated/contract.binpb --config buf.yaml
	$(BIN)/buf breaking generated/contract.binpb --against proto/released.binpb --config buf.yaml
	$(PY) proto/generate.py --check

# In an environment of its own: what looks at dependencies brings many.
SUPPLY := build/supply
$(SUPPLY)/.made: requirements/supply.lock
	@mkdir -p build && "$(PYTHON)" -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r requirements/supply.lock
	@touch $@

.PHONY: sbom audit
sbom: $(SUPPLY)/.made  ## write the bill of materials of what is shipped (CycloneDX) to build/sbom.json
	@$(SUPPLY)/bin/cyclonedx-py requirements requirements/runtime.lock --output-reproducible --of JSON -o build/sbom.json
	@echo "build/sbom.json"

audit: $(SUPPLY)/.made  ## ask PyPI's database for known vulnerabilities of what is shipped
	@$(SUPPLY)/bin/pip-audit -r requirements/runtime.lock --require-hashes --disable-pip --progress-spinner off

# ---- make what is committed

.PHONY: generate release-contract lock train
generate: setup-dev  ## regenerate everything under generated/ from proto/
	$(PY) proto/generate.py

release-contract: generate  ## take today's contract as the one that later ones must not break
	$(PY) proto/generate.py --release

lock: setup-dev  ## rewrite the lock files from pyproject.toml (UPGRADE=1 for newer versions)
	$(COMPILE) pyproject.toml requirements/build.in --output-file requirements/runtime.lock
	$(COMPILE) --extra dev --extra train --extra cluster --constraint requirements/runtime.lock \
		pyproject.toml requirements/build.in --output-file requirements/dev.lock
	$(COMPILE) requirements/supply.in --output-file requirements/supply.lock

train: setup-dev  ## build the artifacts that are shipped: cost surfaces, then learned models (TRAIN_ARGS=... of `ess train`)
	$(PY) -m training.surfaces
	$(PY) -m training.command $(TRAIN_ARGS)

# ---- measure

.PHONY: bench bench-latency bench-quality bench-durability bench-adapt bench-interfaces bench-operations
bench: bench-latency bench-quality bench-durability bench-adapt bench-interfaces bench-operations  ## run every benchmark there is

bench-latency: setup-dev  ## latency of decisions against Echo; the load comes from `make native` (SHORT=1 for a quick look)
	$(PY) -m benchmarks.latency $(if $(SHORT),--short)

bench-quality: setup-dev  ## quality of decisions against baselines (SHORT=1 for a quick look)
	$(PY) -m benchmarks.quality $(if $(SHORT),--short)

bench-durability: setup-dev  ## what survives kills, power cuts, corruption and outages (SHORT=1 for a quick look)
	$(PY) -m benchmarks.durability $(if $(SHORT),--short)

bench-interfaces: setup-dev  ## REST against gRPC, the console in Chromium, schemathesis (SHORT=1 for a quick look)
	$(PY) -m benchmarks.interfaces $(if $(SHORT),--short)

bench-adapt: setup-dev  ## what adaptation gains, what outcomes teach, open orders a worker follows (SHORT=1 for a quick look)
	$(PY) -m benchmarks.adapt $(if $(SHORT),--short)

bench-operations: setup-dev  ## what is stopped, refused, not let in, swapped and restarted under load (SHORT=1 for a quick look; SOAK=MINUTES)
	$(PY) -m benchmarks.operations $(if $(SHORT),--short) $(if $(SOAK),--soak $(SOAK))

# ---- ship and tidy

.PHONY: image check-image clean
image:  ## build the container image (needs a Docker engine)
	docker build --tag $(IMAGE):$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) .

check-image: setup-dev  ## carry out the Dockerfile in a clean root and run it (needs root and debootstrap; minutes)
	$(PY) -m tests.image

clean:  ## remove the environment, caches and build output; data in var/ stays
	rm -rf $(VENV) .setup-runtime .setup-dev build *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
