# Every target that runs something does all the set-up first; what is there already is kept (scripts/setup).
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo up example test chaos check format protos lock clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: ## Environments, Triton, language model and data
	@scripts/setup

demo: setup ## The whole loop on MovieLens: train, serve, click, see it change; ends by itself
	@$(BIN)/recency demo

up: setup ## Triton and gateway on 127.0.0.1:50051, until Ctrl-C
	@$(BIN)/recency up

example: setup ## One of examples/ from nothing, about a minute: make example NAME=news (ARGS=--keep goes on serving)
	@$(BIN)/python examples/run.py $(NAME) $(ARGS)

test: setup ## All tests
	@$(BIN)/python -m pytest $(ARGS)

chaos: setup ## Every fault of the fault injection, not only the seeded few that the tests run
	@$(BIN)/python -m pytest -m chaos --every-fault $(ARGS)

check: setup ## Lint, formats, types, import arrows, protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint protos

format: setup ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Write requirements/main.lock anew from pyproject.toml
	@scripts/lock

clean: ## Remove environments, caches and data
	rm -rf .venv .venv-triton .venv-triton.partial .cache data .mypy_cache .ruff_cache .pytest_cache .hypothesis
