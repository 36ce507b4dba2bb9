# `make demo` and `make test` do everything on a bare Debian machine; what is there already is not made again.

.DEFAULT_GOAL := setup
.PHONY: setup venv engine toolchain nightly stand-ins compose promtool registry serve demo test test-fleet bench ladder mutations soak lint format clean

BIN := .venv/bin

setup: toolchain ## the virtual environment, a container engine, a toolchain image

venv:
	@deploy/setup/venv.sh

engine: venv
	@deploy/setup/engine.sh

toolchain: engine
	@deploy/setup/toolchain.sh stable

nightly: engine ## a second toolchain image, for projects that want it
	@deploy/setup/toolchain.sh nightly

stand-ins: engine ## a database and a mail server for the examples, of Debian's packages
	@deploy/setup/stand_ins.sh

compose:
	@deploy/setup/compose.sh

promtool:
	@deploy/setup/promtool.sh

registry:
	@deploy/setup/registry.sh

serve: setup ## the daemon, in the foreground; make serve ARGS="--listen 127.0.0.1:8080"
	@exec $(BIN)/bloomery serve $(ARGS)

demo: setup ## a service becomes an image, four times over
	@deploy/demo.sh

test: setup promtool registry ## all suites, against the real engine; make test ARGS="tests/unit -x"
	@$(BIN)/pytest --numprocesses 2 --dist loadscope --verbose --cov --cov-branch --cov-report=term $(ARGS)

test-fleet: setup stand-ins compose ## every example built, run and asked, alone and by Compose; make test-fleet ARGS="-m every_time"
	@$(BIN)/pytest --verbose tests/fleet $(ARGS)

bench: setup ## the bars of speed and memory, beside the alternatives, on a quiet machine; make bench ARGS="--runs 1"
	@set -e; for each in memory unit_memory unchanged overhead "overhead --rung workspace" cold; do \
		$(BIN)/python -m bench.$$each $(ARGS); done
	@$(BIN)/python -m bench.ladder $(ARGS)

ladder: setup ## every rung beside cargo-chef, cache mounts, sccache, mbx; make ladder ARGS="--runs 1 --only leaf"
	@$(BIN)/python -m bench.ladder $(ARGS)

mutations: setup ## the laws of the cache, each broken on purpose; a part of `make test`
	@$(BIN)/pytest tests/caching/mutations $(ARGS)

soak: setup ## a workspace under any sequence of changes, each image compared with a clean build's; make soak STEPS=5000
	@BLOOMERY_SOAK_STEPS=$(or $(STEPS),1000) $(BIN)/pytest -s tests/caching/test_workspace_machine.py $(ARGS)

lint: venv
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## what tools and tests leave in the working tree; images and caches stay
	rm -rf dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
