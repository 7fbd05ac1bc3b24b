# The five commands. `make demo` and `make test` set everything up themselves; nothing else is needed beforehand but
# Python 3.11+, a Rust toolchain and, for the tests of contracts and JavaScript clients, node 20+.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build demo test lint rust-test emulated python-test bench soak fmt contracts analyse clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .build/tools/bin
CARGO_DENY := 0.20.2
# Where a proof of a block would be executed: 64 bits, atomics, and no operating system.
GUEST := riscv64imac-unknown-none-elf
# It is built beside a clone of pevm alone, see docs/guide/measure-execution.md; cargo does not read its manifest without.
PEVM_BENCH := benches/pevm/src/main.rs
STEP = @printf '\n==> %s\n' 

help:
	@printf '%s\n' \
	  'make demo    set up, then run the main job to its end' \
	  'make test    set up, then lint and test everything' \
	  'make build   only set up (.venv/bin/interlace)' \
	  'make bench   run the benchmarks' \
	  'make soak    run the long campaigns' \
	  'make fmt     format Rust and Python' \
	  'make analyse static analysis of the contracts'

# pip before 25.1 cannot install a dependency group, so it is brought up to date first.
$(VENV)/.pip:
	$(STEP) 'creating the virtual environment'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: $(PYTHON) is older than 3.11'; echo 'hint: make PYTHON=python3.11 $(MAKECMDGOALS)'; exit 2; }
	@command -v cargo >/dev/null || { echo 'error: cargo is not on PATH'; echo 'hint: install Rust, see https://rustup.rs'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet 'maturin==1.16.0'
	@touch $@

build: $(VENV)/.pip
	$(STEP) 'building the engine and installing the package (four minutes the first time)'
	$(BIN)/maturin develop --release --extras ml --group dev

demo: build
	$(STEP) 'the main job, from a data set to the last claim'
	$(BIN)/interlace demo

test: build lint rust-test python-test

$(TOOLS)/cargo-deny:
	$(STEP) 'building cargo-deny (once)'
	cargo install cargo-deny --version $(CARGO_DENY) --locked --debug --no-default-features --quiet --root .build/tools

contracts/node_modules: contracts/package-lock.json
	cd contracts && npm ci --no-audit --no-fund --silent
	@touch $@

tests/clients/node_modules: tests/clients/package-lock.json
	cd tests/clients && npm ci --no-audit --no-fund --silent
	@touch $@

# hardhat 3 needs node 22, which the clients bring; under an older one npm leaves out hardhat's native parts without a word.
tests/clients/hardhat/node_modules: tests/clients/hardhat/package-lock.json tests/clients/node_modules
	cd tests/clients/hardhat && PATH="$$PWD/../node_modules/.bin:$$PATH" npm ci --no-audit --no-fund --silent
	@touch $@

lint: build $(TOOLS)/cargo-deny
	$(STEP) 'format, lints, types, layers, licences'
	cargo fmt --all --check
	cargo fmt --manifest-path benches/state/Cargo.toml --check
	rustfmt --check --edition 2024 --config-path . $(PEVM_BENCH)
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	cargo clippy --release -p interlace-state --all-targets --features sim,shuttle --locked -- -D warnings
	cargo check --release --locked -p interlace-stf -p interlace-tensor -p interlace-sumcheck --no-default-features
	@test -d "$$(rustc --print target-libdir --target $(GUEST))" || rustup target add $(GUEST) \
	  || { echo 'error: no core library for $(GUEST)'; echo 'hint: rustup target add $(GUEST)'; exit 2; }
	cargo check --release --locked -p interlace-stf --no-default-features --target $(GUEST)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest interlace._core --mypy-config-file pyproject.toml --allowlist scripts/stubtest_allowed.txt
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_layout.py
	$(TOOLS)/cargo-deny --log-level error check licenses bans sources

rust-test: build
	$(STEP) 'Rust tests'
	cargo test --release --locked --workspace --exclude interlace-py --quiet
	cargo test --release --locked -p interlace-state --features sim,shuttle --lib --quiet schedules
	cargo test --release --locked -p interlace-evm --no-default-features --test precompiles --quiet
	cargo test --release --locked -p interlace-state --features sim,loom --lib --quiet every_order
	@if command -v qemu-x86_64 > /dev/null; then $(MAKE) emulated; \
	  else echo 'no qemu-x86_64: processors without AVX2 are not emulated (Debian: qemu-user)'; fi

emulated:
	$(STEP) 'integer programs on emulated processors'
	@command -v qemu-x86_64 > /dev/null || { echo 'error: qemu-x86_64 is not here'; echo 'hint: Debian has it in qemu-user'; exit 2; }
	for cpu in Nehalem SandyBridge Haswell max; do \
	  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu $$cpu" \
	  cargo test --release --locked -p interlace-tensor --test everywhere --quiet || exit 1; done

python-test: build contracts/node_modules tests/clients/hardhat/node_modules
	$(STEP) 'Python tests'
	$(BIN)/pytest -m 'not soak'

soak: build contracts/node_modules tests/clients/hardhat/node_modules
	$(STEP) 'long campaigns'
	INTERLACE_SOAK=1 INTERLACE_PROGRAMS=1000000 cargo test --release --locked --workspace --exclude interlace-py -- --include-ignored
	INTERLACE_SOAK=1 cargo test --release --locked -p interlace-state --features sim,shuttle --lib schedules
	cargo test --release --locked -p interlace-executor --features loom --lib every_order
	cargo clippy --release --locked --manifest-path benches/state/Cargo.toml -- -D warnings
	cargo build --release --locked --manifest-path benches/state/Cargo.toml
	INTERLACE_SOAK=1 $(BIN)/pytest --timeout 7200

bench: build tests/clients/node_modules
	cargo build --release --locked --manifest-path benches/state/Cargo.toml
	$(BIN)/interlace bench tensor
	$(BIN)/interlace bench rpc
	$(BIN)/interlace bench state

contracts: contracts/node_modules
	cd contracts && node build.mjs

# An environment of its own: slither wants another web3 than the tests.
analyse: $(VENV)/.pip contracts/node_modules
	$(STEP) 'static analysis of the contracts (a minute and a half)'
	@test -x .build/analysis/bin/slither || { $(PYTHON) -m venv .build/analysis \
	  && .build/analysis/bin/pip install --quiet --upgrade 'pip>=25.1' && .build/analysis/bin/pip install --quiet --group analysis; }
	.build/analysis/bin/python scripts/analyse_contracts.py

fmt:
	cargo fmt --all
	cargo fmt --manifest-path benches/state/Cargo.toml
	rustfmt --edition 2024 --config-path . $(PEVM_BENCH)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) target benches/state/target benches/pevm/target .build contracts/node_modules tests/clients/node_modules tests/clients/hardhat/node_modules
