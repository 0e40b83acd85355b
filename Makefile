# Each target installs what it needs. Needed beforehand: Rust, Python 3.11 or newer, Node 20 or newer, a C++ compiler.
PORT ?= 8080
PYTHON ?= python3
VENV := .venv
TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/debug/rolecall
# No step may fetch a toolchain of its own accord.
export RUSTUP_AUTO_INSTALL := 0

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
schema: build ## Write what is made from types: the configuration's JSON schema, the tools' definitions
	$(BINARY) schema > docs/config.schema.json
	$(BINARY) tools > target/definitions.jsonl
	mv target/definitions.jsonl src/tools/definitions.jsonl

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

.PHONY: lint
lint: ## Check the format, and lint without a warning
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings

# The conformance suite comes last: what it finds is best read when all else is right.
.PHONY: test
test: interop lint ## Run everything: lints, unit and integration tests, official clients, fuzzing (shortly), conformance, the stack
	cargo test --locked
	$(MAKE) fuzz-smoke
	$(MAKE) conformance
	$(MAKE) stack

# Of the tests, the one that can be made longer.
.PHONY: storm
storm: ROUNDS = 50
storm: $(VENV)/.run ## Let 200 callers of every kind call at once, and count leaks and 5xx: make storm [ROUNDS=50]
	STORM_ROUNDS=$(ROUNDS) cargo test --locked --test it isolation::storm -- --nocapture

# Coverage-guided, with the stable compiler: fuzz/rustc.sh says how.
FUZZ := $(abspath $(TARGET))/fuzz
.PHONY: fuzz-build
fuzz-build:
	CARGO_TARGET_DIR=$(FUZZ) RUSTC_WRAPPER=$(CURDIR)/fuzz/rustc.sh cargo build --locked --manifest-path fuzz/Cargo.toml

SECONDS ?= 60
.PHONY: fuzz
fuzz: fuzz-build ## Look for inputs that break a promise, for so long a target: make fuzz [SECONDS=60]
	@fuzz/run.sh $(FUZZ)/debug $(FUZZ)/found -max_total_time=$(SECONDS)

# The corpus, and so many runs from the same beginning. Hash tables, which are seeded by chance, make them differ a little
# from time to time: an input that fails is printed.
.PHONY: fuzz-smoke
fuzz-smoke: fuzz-build
	@rm -rf $(FUZZ)/smoke
	@fuzz/run.sh $(FUZZ)/debug $(FUZZ)/smoke -seed=1 -runs=20000

.PHONY: doc
doc: ## Build the code's documentation
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --document-private-items

.PHONY: deny
deny: ## Check licences, sources and advisories (needs cargo-deny)
	cargo deny check

# The official clients and the official suite, pinned: judges of the wire. npm needs Node 20 to install; what it installs
# includes the newer Node that the suite wants.
INTEROP := tests/interop/node_modules
$(INTEROP)/.installed: tests/interop/package.json tests/interop/package-lock.json tests/interop/.npmrc
	npm ci --silent --prefix tests/interop
	@touch $@

# The browser of the tests: Debian's package, where there is none yet.
CHROMIUM := /usr/bin/chromium
APT := $(if $(filter 0,$(shell id -u)),,sudo -n )apt-get
$(CHROMIUM):
	@echo "installing Chromium, which the tests call from"
	-@$(APT) -qq update && DEBIAN_FRONTEND=noninteractive $(APT) -qq --yes --no-install-recommends install chromium >/dev/null
	@test -x $@ || { echo "The tests need Chromium at $@, and it could not be installed: please install Debian's package \`chromium\`." >&2; exit 1; }

$(VENV)/.test: tests/requirements.txt $(VENV)/.run
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

.PHONY: interop
interop: $(INTEROP)/.installed $(VENV)/.test $(CHROMIUM) ## Install the official clients and a browser, which the tests call with

CONFORMANCE := $(TARGET)/debug/examples/conformance
.PHONY: conformance-server
conformance-server:
	cargo build --locked --example conformance

.PHONY: conformance
conformance: $(INTEROP)/.installed conformance-server ## Run the official MCP conformance suite against its baseline
	@$(PYTHON) tests/conformance/run.py $(CONFORMANCE)

.PHONY: conformance-record
conformance-record: $(INTEROP)/.installed conformance-server ## Record in the baseline what passes now
	@$(PYTHON) tests/conformance/run.py --record $(CONFORMANCE)

# A build of its own, so that the usual one stays as it is. ARGUMENTS go to cargo test.
.PHONY: coverage
coverage: interop ## Report which lines the tests run, by file and by room; fail where too few
	@$(PYTHON) scripts/coverage.py $(abspath $(TARGET))/coverage $(ARGUMENTS)

# Measurement, not a test. Two builds, so that neither program gets the features that the other asks for.
ROUNDS ?= 5
BENCH_FLAGS ?=
.PHONY: bench
bench: ## Measure Rolecall beside its peers: make bench [ROUNDS=5] [BENCH_FLAGS=--markdown]
	cargo build --release --locked -p rolecall
	cargo build --profile peers --locked -p peers
	@mkdir -p target/bench
	@$(PYTHON) -c 'import zipfile; zipfile.ZipFile("target/bench/bootstrap.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9).write("target/release/rolecall", "bootstrap")'
	target/peers/bench --peers target/peers --zip target/bench/bootstrap.zip --rounds $(ROUNDS) $(BENCH_FLAGS)

# What the definitions of the stack are checked and applied with, apart from the tools above: they want other versions of the same.
DEPLOY := .venv-deploy
$(DEPLOY)/.installed: tests/deploy/requirements.txt cdk/requirements.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/pip install --quiet --disable-pip-version-check -r tests/deploy/requirements.txt
	@touch $@

.PHONY: cdk-test
cdk-test: $(DEPLOY)/.installed ## Test the CDK construct: every policy, every front door, every rule of its inputs, cdk-nag
	$(DEPLOY)/bin/pytest -q -p no:cacheprovider cdk/tests

# The linter knows AWS's own schemas; the tests, what the templates must say word for word.
.PHONY: cfn-test
cfn-test: $(DEPLOY)/.installed ## Lint and test the CloudFormation templates: every policy, every front door
	$(DEPLOY)/bin/cfn-lint cloudformation/*.yaml
	$(DEPLOY)/bin/pytest -q -p no:cacheprovider tests/deploy/test_cloudformation.py

# A command line can be read by every process: TOKEN stands before make, in its environment, or is exported.
.PHONY: smoke
smoke: $(if $(SIGV4),$(VENV)/.run) ## Check a deployed server: TOKEN=… make smoke URL=… [ROLE=…] (or SIGV4=1 [REGION=…])
	@$(if $(SIGV4),$(VENV)/bin/python,$(PYTHON)) scripts/smoke.py "$$URL" $(if $(SIGV4),--sigv4) $(if $(ROLE),--role "$$ROLE") $(if $(REGION),--region "$$REGION")

# What is deployed is the package for this machine: it runs here.
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
.PHONY: deploy-local
deploy-local: $(DEPLOY)/.installed ## Apply the Terraform to an AWS on this machine, run what was deployed, call it, destroy it
	$(MAKE) package ARCH=$(HOST_ARCH)
	@$(DEPLOY)/bin/python tests/deploy/local.py $(HOST_ARCH) $(TARGET)/lambda/$(HOST_ARCH)/bootstrap.zip $(TARGET)/deploy

# The quick checks first; `deploy-local` leaves the plans that checkov reads.
.PHONY: stack
stack: ## Check all that is deployed: the three definitions, the packages, the stack applied and called
	$(MAKE) terraform-check
	$(MAKE) cfn-test
	$(MAKE) cdk-test
	$(MAKE) parity
	$(MAKE) package-check
	$(MAKE) deploy-local
	$(MAKE) checkov

# Format, validity and tests of the Terraform, without an AWS.
.PHONY: terraform-check
terraform-check: ## Check the Terraform: its format, each example, every policy
	@$(PYTHON) tests/deploy/check_terraform.py

# checkov wants other versions of AWS's SDK than all the rest.
CHECKOV := .venv-checkov
$(CHECKOV)/.installed: tests/deploy/checkov.txt
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check -r tests/deploy/checkov.txt
	@touch $@

.PHONY: checkov
checkov: $(CHECKOV)/.installed ## Ask checkov what it thinks of the plans that `make deploy-local` left
	@$(PYTHON) tests/deploy/checkov_plans.py $(CHECKOV)/bin/checkov target/deploy/plans

# What Lambda and containers run. `make package` builds for each architecture whose standard library a compiler here has.
ARCH ?=
$(VENV)/.package: scripts/package.txt $(VENV)/.run
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r scripts/package.txt
	@touch $@

.PHONY: package
package: $(VENV)/.package ## Build Lambda's zips, the same bytes everywhere: make package [ARCH=arm64]
	@$(VENV)/bin/python scripts/package.py $(TARGET) $(ARCH)

# What else the host of one architecture needs for the other, and to check it: where there is Debian, as root. Nothing that
# is installed is removed for it.
SUDO = $(if $(filter 0,$(shell id -u)),,sudo -n )
APT_INSTALL = DEBIAN_FRONTEND=noninteractive $(APT) -qq --yes --no-install-recommends --no-remove install
.PHONY: package-tools
package-tools: ## Install what `make package` needs for arm64 (Debian on x86_64), and qemu-user to run it
	@grep -qx ID=debian /etc/os-release && $(SUDO)dpkg --add-architecture arm64 && $(APT) -qq update && \
	    $(APT_INSTALL) rustc-web libstd-rust-web-dev:arm64 libc6:arm64 qemu-user >/dev/null \
	    || { echo "Debian's compiler for arm64 could not be installed: please install rustc-web, libstd-rust-web-dev:arm64, libc6:arm64 and qemu-user, or use rustup target add aarch64-unknown-linux-gnu." >&2; exit 1; }

.PHONY: package-check
package-check: package ## Prove the packages: both start, planted faults are found, a build elsewhere is the same
	@$(VENV)/bin/python scripts/package_check.py $(TARGET)

# The image for a container: what `make package` built, on a base without a shell (Dockerfile).
CONTAINER_TOOL ?= $(notdir $(firstword $(foreach tool,docker podman buildah,$(shell command -v $(tool)))))
IMAGE_ARCH = $(or $(ARCH),$(patsubst aarch64,arm64,$(shell uname -m)))
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
.PHONY: container
container: ## Build the container image rolecall:VERSION: make container [ARCH=arm64] [CONTAINER_TOOL=podman] [BASE=image]
	@test -n "$(CONTAINER_TOOL)" || { echo "An image is built with docker, podman or buildah: please install one." >&2; exit 1; }
	@$(MAKE) --no-print-directory package ARCH=$(IMAGE_ARCH)
	$(CONTAINER_TOOL) build --platform linux/$(patsubst x86_64,amd64,$(IMAGE_ARCH)) --build-arg VERSION=$(VERSION) $(if $(BASE),--build-arg BASE=$(BASE)) \
	    --tag rolecall:$(VERSION) --file Dockerfile $(TARGET)/container

BUILDAH := /usr/bin/buildah
$(BUILDAH):
	@echo "installing buildah and runc, which build and run the image that is checked"
	-@$(APT) -qq update && $(APT_INSTALL) buildah runc >/dev/null

.PHONY: container-check
container-check: $(BUILDAH) ## Prove the image: read-only, without capabilities, as nobody (Debian's buildah and runc, root)
	@$(MAKE) --no-print-directory package ARCH=$(patsubst aarch64,arm64,$(shell uname -m))
	@$(VENV)/bin/python scripts/container_check.py $(TARGET)

# It needs Terraform, and Node for the CDK. No AWS is asked.
.PHONY: parity
parity: $(DEPLOY)/.installed ## Prove that Terraform, CDK and CloudFormation define the same stack, and refuse the same input
	@cd tests/deploy && ../../$(DEPLOY)/bin/python -m parity ../..

.PHONY: deploy-docs
deploy-docs: $(DEPLOY)/.installed ## Write the tables of inputs and outputs into the READMEs of the definitions
	@cd tests/deploy && ../../$(DEPLOY)/bin/python -m parity --write ../..
