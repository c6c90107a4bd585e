# The one list of what can be done here. Everything sets itself up; a second run does nothing again.
CARGO ?= cargo
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build plugins test lint bench examples demo clean

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: build       ## set up, build, and run the router on routes.toml
	./target/release/esclusa run -c routes.toml

build: plugins   ## target/release/esclusa and plugins/*.wasm
	$(CARGO) build --release --locked -p esclusa

plugins:         ## the five plugins, compiled to WebAssembly (installs the target where it is missing)
	@scripts/plugins.sh

test: plugins    ## every test (builds the router as well)
	@scripts/guests.sh
	@scripts/python.sh
	scripts/servers.sh run $(CARGO) test --release --locked --workspace --no-fail-fast

lint: plugins    ## formatting, clippy and dependency rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

bench: build     ## benchmarks; figures as ratios
	@scripts/guests.sh
	@scripts/bench.sh

examples: build  ## whole systems, run from nothing on the embedded engine and on AWS' protocols, compared with what is expected
	@scripts/python.sh
	@examples/run.sh
	@examples/run.sh --aws

clean:           ## remove what was built, and the data of `make run`
	rm -rf target data plugins/*.wasm examples/*/data examples/*/plugin/*.wasm
