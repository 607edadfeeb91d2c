# The few commands of this project. Rust and Python 3 are all it takes; Python to install Envoy, once, and for tests.

SHELL := bash
export RUSTDOCFLAGS := -D warnings

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bless envoy browser clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## two model versions, a good canary and a bad one, in this terminal
	cargo run --quiet --locked -- demo

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
	cargo clippy --locked --all-targets -- -D warnings
	cargo doc --locked --no-deps

bench: ## how fast it is
	cargo bench --locked

bless: ## rewrite the expected files of tests, to be reviewed as a diff
	BLESS=1 cargo test --locked

envoy: ## find an Envoy, or install the pinned one
	cargo run --quiet --locked -- envoy

browser: ## a login in Chromium, which apt-get downloads beside Envoy, once (Debian, Ubuntu)
	SERIN_CHROMIUM=$$(tests/it/e2e/chromium.sh) cargo test --locked --test it e2e::browser -- --ignored

clean: ## forget what was built
	cargo clean
