# Each target installs what it needs. Needed beforehand: Rust, Python 3.11 or newer, Node 20 or newer.
PORT ?= 8080
PYTHON ?= python3
VENV := .venv
BINARY := target/debug/rolecall
# No step may fetch a toolchain of its own accord.
export RUSTUP_AUTO_INSTALL := 0

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.run: scripts/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
	@touch $@

.PHONY: build
build:
	cargo build --locked

.PHONY: run
run: $(VENV)/.run build ## Run the server with an AWS of its own: make run [PORT=8080]
	@$(VENV)/bin/python scripts/run.py $(BINARY) $(PORT)

.PHONY: schema
schema: build ## Write the configuration's JSON schema to docs/
	$(BINARY) schema > docs/config.schema.json

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

# Measurement, not a test. Two builds, so that neither program gets the features that the other asks for.
ROUNDS ?= 5
BENCH_FLAGS ?=
.PHONY: bench
bench: ## Measure Rolecall beside its peers: make bench [ROUNDS=5] [BENCH_FLAGS=--markdown]
	cargo build --release --locked -p rolecall
	cargo build --release --locked -p peers
	@mkdir -p target/bench
	@$(PYTHON) -c 'import zipfile; zipfile.ZipFile("target/bench/bootstrap.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9).write("target/release/rolecall", "bootstrap")'
	target/release/bench --zip target/bench/bootstrap.zip --rounds $(ROUNDS) $(BENCH_FLAGS)
