# The front door. `make help` lists what can be asked for.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTEST := .venv/bin/python -m pytest
# More for pytest: make test-system ARGS='-k attach -x'
ARGS :=
# Where `make install` puts things.
PREFIX ?= /usr/local
# How many processes `make test` shares the files among; each test has namespaces of its own.
WORKERS ?= 2
SHARED = -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10 --durations-min=1
# How long `make fuzz` goes on, and with which seed, if with one: SEED=4711
MINUTES ?= 10
SEED ?=
FUZZ := tests/bpf/test_fuzz*.py
# For `make demo` and `make demo-down`: the lab's name.
LAB ?= demo
# Which Debian `make test-fresh` and `make test-kernel` take: bookworm (12) or trixie (13).
export RELEASE ?= bookworm
# For `make test-fresh`: some steps only, or with arguments: STEPS="check 'test-bpf ARGS=-x'"
STEPS ?=

C_FILES := $(wildcard bpf/*.c bpf/*.h bpf/lib/*.h src/weft/bench/*.c)
SHELL_FILES := tools/setup.sh tools/lock.sh tools/install.sh tools/test-kernel tools/test-kernel-guest \
	tools/docker-next/build tools/test-fresh tools/test-fresh-guest tools/debian-archives .ci/run

.PHONY: help setup demo demo-down test test-all test-unit test-property test-mesh test-etcd test-cluster test-bpf test-system \
	test-conformance test-docker test-docker-next test-kernel test-kernel-short test-fresh fuzz check fmt bench bench-kernel install uninstall clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing; leaves a working .venv/bin/weft
	@tools/setup.sh

demo: setup ## Start three hosts with Docker, containers on one Weft network, and show them work
	@.venv/bin/weft lab demo --name $(LAB)

demo-down: ## Remove all that the demo made
	@if [[ -x .venv/bin/weft ]]; then .venv/bin/weft lab demo --down --name $(LAB); fi

test: setup ## Run the tests; what cannot run here is skipped and says why
	@$(PYTEST) $(SHARED) -m "not matrix" $(ARGS)

test-all: setup ## The same with every case of every family
	@$(PYTEST) $(SHARED) $(ARGS)

test-unit test-property test-mesh test-etcd test-cluster test-bpf test-system test-conformance test-docker: test-%: setup
	@$(PYTEST) tests/$* $(ARGS)

test-unit: ## Run one part: test-unit, -property, -mesh, -etcd, -cluster, -bpf, -system, -conformance, -docker

fuzz: setup ## Send hostile packets through the BPF programs for MINUTES (10); SEED=n: one seed again
	@tests=$$($(PYTEST) $(FUZZ) --collect-only -q $(ARGS) | grep -c ::) || exit; \
	WEFT_FUZZ_S=$$((60 * $(MINUTES) / tests)) $(if $(SEED),WEFT_FUZZ_SEED=$(SEED)) \
	    $(PYTEST) $(FUZZ) --timeout=$$((60 * $(MINUTES) + 600)) $(ARGS)

test-docker-next: setup ## The Docker tests with a current engine, built from its Go module (needs Go)
	@folder=$$(tools/docker-next/build) && PATH="$$folder:$$PATH" $(PYTEST) tests/docker $(ARGS)

test-kernel: ## Run the BPF and system tests on Debian's kernel, under an emulator
	@tools/test-kernel $(ARGS)

test-kernel-short: ## The same in a few minutes
	@tools/test-kernel --short $(ARGS)

bench-kernel: ## Measure encrypted traffic on Debian's kernel: ratios, under an emulator
	@tools/test-kernel --bench

test-fresh: ## Demo, check and tests on a Debian with nothing installed (RELEASE=bookworm or trixie)
	@tools/test-fresh $(STEPS)

check: setup ## Style and types: ruff, mypy, clang-format, shellcheck
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	clang-format --dry-run -Werror $(C_FILES)
	shellcheck $(SHELL_FILES)

fmt: setup ## Format everything
	.venv/bin/ruff format
	.venv/bin/ruff check --fix
	clang-format -i $(C_FILES)

bench: setup ## Measure; results go to build/bench
	@.venv/bin/weft bench $(ARGS)

install: setup ## Install into the system (PREFIX=/usr/local): daemon, CLI, unit, completion
	@tools/install.sh install "$(PREFIX)"

uninstall: ## Undo `make install`
	@tools/install.sh uninstall "$(PREFIX)"

clean: ## Remove what was built; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	@if [[ -e bpf/Makefile ]]; then $(MAKE) --no-print-directory -C bpf clean; fi
