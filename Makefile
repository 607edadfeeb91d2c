# The few commands of this project. Rust and Python 3 are all it takes; Python to install Envoy, once, and for tests.

SHELL := bash
export RUSTDOCFLAGS := -D warnings

.DEFAULT_GOAL := help
.PHONY: help demo test check bench fuzz soak bless envoy clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## two model versions, a good canary and a bad one, in this terminal
	cargo run --quiet --locked -- demo

# Property tests ask the same questions in each run, so that what fails fails again; `make fuzz` asks others.
test: export PROPTEST_RNG_SEED ?= 1
# Most tests wait for Envoys, leases and evidence: three for each core keep the cores busy.
test: export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
test: check ## check, and all tests with a real Envoy
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT; \
	cargo test --locked --no-fail-fast 2>&1 | tee "$$log"; code=$${PIPESTATUS[0]}; \
	echo; grep '^test result:' "$$log"; \
	awk '/^test result:/ { passed += $$4; failed += $$6; ignored += $$8 } \
		END { printf "total: %d passed; %d failed; %d ignored\n", passed, failed, ignored }' "$$log"; \
	exit "$$code"

check: ## format, lints and documentation, without a warning
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing: rustup component add rustfmt" >&2; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing: rustup component add clippy" >&2; exit 1; }
	cargo fmt --check
	cargo fmt --check --manifest-path benches/xdsload/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --manifest-path benches/xdsload/Cargo.toml --target-dir target -- -D warnings
	cargo doc --locked --no-deps

bench: ## how fast it is, also with many Envoys; QUICK=1: only that, with two small cells
	$(if $(QUICK),,cargo bench --locked)
	cargo build --release --locked
	cargo build --release --locked --manifest-path benches/xdsload/Cargo.toml --target-dir target/xdsload
	python3 benches/performance.py $(if $(QUICK),--quick,--write docs/performance.md)
	python3 benches/performance.py --routing scoped $(if $(QUICK),--quick,--manners --write docs/performance.md)

fuzz: ## ten minutes of arbitrary files and clients; MINUTES=1 for less
	cargo test --locked --lib --no-run
	@end=$$(( $$(date +%s) + 60 * $(or $(MINUTES),10) )); \
	while [ $$(date +%s) -lt $$end ]; do \
		PROPTEST_CASES=$(or $(CASES),5000) cargo test --locked --quiet --lib -- \
			config::tests::properties xds::tests::model xds::tests::nonsense xds::names telemetry::wire || exit 1; \
	done

soak: ## ten minutes of edits while 200 streams come and go; MINUTES=1 for less
	SOAK_SECONDS=$$(( 60 * $(or $(MINUTES),10) )) cargo test --locked --test it -- protocol::soak --nocapture

bless: ## rewrite the expected files of tests, to be reviewed as a diff
	BLESS=1 cargo test --locked

envoy: ## find an Envoy, or install the pinned one
	cargo run --quiet --locked -- envoy

clean: ## forget what was built
	cargo clean
