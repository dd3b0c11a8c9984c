# `make` alone lists the targets. LAB=name works on a lab of that name beside the default one.
SHELL := /bin/sh
LAB ?= lab
export LAB
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# Integration tests that measure no time may run side by side; what is left runs alone.
SIDE_BY_SIDE := $(addprefix tests/integration/,aws cli policy) $(wildcard tests/integration/tools/*.py)
APART := $(PYTEST) -q $(SIDE_BY_SIDE) -n auto --dist loadfile
ALONE := $(addprefix --ignore=,$(SIDE_BY_SIDE))
# Tools of the checkout's own environment first, as `source .lab/env` has it.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test lab lab-down demo test unit program integration kernel lab-test preview check lock bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		while IFS="$$(printf '\t')" read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

setup: ## everything that `make lab` needs on this machine
	@tools/setup --for lab

setup-test: ## everything that `make test` needs on this machine
	@tools/setup --for test

lab: setup ## stand up the lab by `pulumi up` (LAB=name: another one beside it)
	@tools/lab up

lab-down: ## destroy the lab and sweep up whatever is left of it
	@tools/lab down

demo: setup ## see a node die and another one drained, with takeover and without
	@$(PYTHON) -m tools.demo

test: setup-test check ## every test that this machine can run
	$(PYTEST) -q tests/unit tests/program -n auto
	$(APART)
	$(PYTEST) $(ALONE) tests/integration tests/kernel tests/lab

unit: setup ## the fast inner loop
	$(PYTEST) -q tests/unit -n auto

program: setup ## the Pulumi program under mocks
	$(PYTEST) -q tests/program

integration: setup-test ## real daemons in network namespaces
	$(APART)
	$(PYTEST) $(ALONE) tests/integration

kernel: setup-test ## a real kernel in QEMU
	$(PYTEST) tests/kernel

lab-test: setup-test ## a whole lab of its own
	$(PYTEST) tests/lab

preview: setup ## preview stacks without a cloud account (STACK=name, AGAINST=commit, PREVIEW=options)
	@$(PYTHON) -m tools.preview $(STACK) $(if $(AGAINST),--against $(AGAINST)) $(PREVIEW)

check: setup ## lint, types, workflows
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@$(PYTHON) -m tools.workflows
	$(PYTHON) -m mypy

lock: setup ## renew the lock files in requirements/ from the .in files
	@tools/lock

bench: setup-test ## benchmarks, as JSON lines
	$(PYTHON) -m benchmarks
