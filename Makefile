# make help lists what there is. Everything sets up what it needs; nothing is repeated that is done.
.DEFAULT_GOAL := help
BIN := .venv/bin
SHELL := /bin/sh

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## A simulated Jetson Thor, provisioned and serving (DEVICES=n for more than one)
	@DEVICES=$(or $(DEVICES),1) scripts/demo up

.PHONY: demo-down
demo-down: ## Remove all that the demo made
	@scripts/demo down

.PHONY: bootstrap
bootstrap: ## The environment for development: system packages and .venv
	@scripts/bootstrap test

.PHONY: lint
lint: bootstrap ## ruff, mypy, import rules, phrases, ansible-lint, yamllint, shellcheck
	@scripts/lint

.PHONY: test
test: bootstrap ## Lint and the tests that fit in an hour; what CI runs
	@scripts/test --lint

.PHONY: test-all
test-all: lint ## Lint and all tests, the long ones and the virtual Thor's too; ends with what was proved, counted
	@THORCTL_SEQUENCES=$${THORCTL_SEQUENCES:-2000} $(BIN)/python -m pytest

.PHONY: test-vm
test-vm: bootstrap ## Only the virtual Thor: preflight, roles, reboot, power cut on a whole aarch64 machine
	@$(BIN)/python -m pytest -m vm

.PHONY: quick
quick: bootstrap ## A minute on two cores: ruff, mypy, import rules, and tests without device, vLLM, root or servers
	@scripts/quick

.PHONY: unit
unit: bootstrap ## The tests that need no simulated device and no package registry
	@$(BIN)/python -m pytest -m "not sim and not wheel"

.PHONY: bench-converge
bench-converge: bootstrap ## Time of a first and of a second site.yml, and their ratio
	@$(BIN)/python -m tests.benchmarks.bench_converge

.PHONY: bench-serve
bench-serve: bootstrap ## How fast the demo's devices generate, twice, and the ratios (BENCH=--quick for a minute)
	@$(BIN)/python -m tests.benchmarks.bench_serve $(BENCH)

.PHONY: bench-status
bench-status: bootstrap ## Start, status of one device and of a fleet, against click, ssh and ansible (BENCH="--devices 1000")
	@$(BIN)/python -m tests.benchmarks.bench_status $(BENCH)

.PHONY: docs
docs: bootstrap ## Write the generated parts of docs/
	@$(BIN)/python -m thorctl.cli.reference cli > docs/reference/cli.md
	@$(BIN)/python -m thorctl.cli.reference protocol > docs/reference/protocol.md
	@$(BIN)/python -m thorctl.cli.reference schemas > docs/reference/schemas.json
	@$(BIN)/python -m thorctl.rollout.views.transitions docs/explanation/rollout.md

.PHONY: requirements
requirements: bootstrap ## Compile requirements/*.lock from pyproject.toml
	scripts/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header -q -o requirements/thorctl.lock
	scripts/uv pip compile pyproject.toml --extra checkpoint --group build --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q -o requirements/dev.lock
	# Needs PyTorch's CPU build in reach (find-links of pip, or UV_FIND_LINKS); scripts/quantize-env installs that apart, and leaves
	# Ansible out: 30,000 files, none of which a checkpoint needs.
	scripts/uv pip compile pyproject.toml --extra quantize --group build --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q -c requirements/torch.txt --no-emit-package torch \
	  --no-emit-package ansible --no-emit-package ansible-core \
	  -o requirements/quantize.lock

.PHONY: clean
clean: ## Remove the environment and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .ansible
