# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# The interface for people who develop the collection; 'make help' lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON := .cache/venv/bin/python
STEP := $(PYTHON) -m tests.demo
ARGS ?=
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup demo machines mirror site preflight verify report reset kubectl lint test test-full bench clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "ARGS='…' goes to ansible-playbook, kubectl, pytest or the linters; MIRROR=upstream takes the real artifacts."

setup: ## the virtual environment and what the distribution has to bring (as root)
	@sh tests/setup.sh

demo: ## from nothing to three machines, a cluster, and a model that answers
	@started=$$(date +%s) && sh tests/setup.sh && WASINN_STARTED=$$started $(STEP) demo $(ARGS)

machines: setup ## the demo's machines alone, bare
	@$(STEP) machines

mirror: setup ## what a closed network needs instead of upstream's downloads (ARGS: names of builds)
	@$(STEP) mirror $(ARGS)

site: setup ## playbook site against the demo machines (ARGS=--check for a dry run)
	@$(STEP) site $(ARGS)

preflight: setup ## playbook preflight against the demo machines
	@$(STEP) preflight $(ARGS)

verify: setup ## playbook verify against the demo machines
	@$(STEP) verify $(ARGS)

report: setup ## playbook report against the demo machines: Markdown, JSON and a page, in .cache/demo/report
	@$(STEP) report $(ARGS)

reset: setup ## playbook reset against the demo machines
	@$(STEP) reset $(ARGS)

kubectl: setup ## kubectl on the demo cluster (ARGS='get pods -A')
	@$(STEP) kubectl $(ARGS)

lint: setup ## every linter, ansible-test sanity included (ARGS: names of steps)
	@$(PYTHON) -m tests.lint $(ARGS)

# Minutes that 'make test' may take: what would not end in time is skipped, and says so.
MINUTES ?= 78
test: ## unit tests, linters, then real machines, as far as 78 minutes go (ARGS: pytest's)
	@started=$$(date +%s) && sh tests/setup.sh tests && \
	  WASINN_STARTED=$$started WASINN_MINUTES=$(MINUTES) $(PYTHON) -m pytest $(or $(ARGS),tests/unit tests/static tests/observability tests/e2e)

test-full: ## all tests, however long they take
	@$(MAKE) test MINUTES=0

bench: setup ## a benchmark (ARGS: its name and options)
	@$(PYTHON) -m benchmarks.$(or $(ARGS),balancer)

clean: ## take the machines away, and stop the engine where we started it; caches stay
	@if [ -x $(PYTHON) ]; then $(STEP) clean; fi

distclean: ## take everything away, caches and images too
	@if [ -x $(PYTHON) ]; then $(STEP) distclean; fi
