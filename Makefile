# Gibbon from a checkout: `make run` to try it, `make test` for everything that must hold.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
# Tools that `make tools` installs come first.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
export RUN_BIN ?= $(TARGET)/release

.PHONY: help run build profiled test tools lint fmt clippy doc deny unit smoke deployed bench compare clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## A control plane, a data plane and a demo origin on this machine, until Ctrl-C; data in ./data
	@deploy/run-local.sh

# Two commands: in one, each program would get the features of the other's dependencies.
build: ## The two programs, optimised
	@.ci/install build
	cargo build --release --locked -p control
	cargo build --release --locked -p gateway

# Three builds and a training load. `target/profiled` can replace `target/release`.
profiled: build ## The two programs, the data plane optimised by a profile: some tenth less work for a small request
	deploy/build-profiled.sh

# Fast failures come first; the last line is that of the test runner.
test: tools lint unit build smoke deployed ## Everything below; installs what it needs, saying so first

tools: ## What the tests need and is not there yet
	.ci/install

lint: fmt clippy doc deny ## fmt, clippy, doc and deny

fmt: ## Formatting
	cargo fmt --all --check

clippy: ## Lints, warnings denied
	cargo clippy --workspace --all-targets --locked -- -D warnings

# With private items: its readers work on them, so links may lead to them.
doc: ## The documentation builds without a warning
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked

deny: ## Banned crates, licences, sources
	cargo deny --locked check bans licenses sources

# Cargo builds the two programs before the first test runs. Without the variable, each test would build them
# again.
unit: ## All tests of all packages, on debug builds of the two programs
	GIBBON_TEST_BIN_DIR=$(abspath $(TARGET)/debug) cargo test --workspace --locked

smoke: ## Steady load on the optimised programs while the configuration changes and targets fail
	load-tests/run.sh load-tests/smoke.js
	RUN_BESIDE=load-tests/targets.py load-tests/run.sh load-tests/upstreams.js \
		--env ALGORITHMS=round-robin --env PHASES='three killed,changing' --env DURATION=6

deployed: ## make run, the alerts and the dashboard, on the optimised programs
	GIBBON_TEST_BIN_DIR=$(abspath $(TARGET)/release) cargo test --workspace --locked --test deployed

bench: ## Benches; see benches/README.md
	cargo bench -p benches --locked

# The floor is a package of its own, so that it uses Pingora as it is published.
compare: build ## What a request costs, beside nginx, HAProxy, Envoy and a bare Pingora
	@.ci/install compare
	cargo build --release --locked --manifest-path benches/floor/Cargo.toml --target-dir $(TARGET)/floor
	GIBBON_TEST_BIN_DIR=$(abspath $(TARGET)/release) GIBBON_BENCH_FLOOR=$(abspath $(TARGET)/floor/release/floor) \
		cargo bench -p benches --profile outside --locked --bench compare

clean: ## Removes what was built and installed under target; ./data stays
	cargo clean
