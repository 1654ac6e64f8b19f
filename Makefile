# Everything that is done with this project starts here: `make help`.
# Needs Node 20 or newer with npm, Go 1.26 or newer (older ones from 1.21 fetch it), git, and
# nothing else; `make test` also JDK 17 and Maven, which it installs from Debian's packages where it may.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools of pinned versions, Node itself among them, come from npm.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

installed := node_modules/.installed-by-make

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# The web console, as the server serves it: what it was made from is newer, or it was not made yet.
console := console/dist/index.html
$(console): $(installed) $(shell find console clients/cli/text.ts -type f -not -path 'console/dist/*')
	@vite build console --logLevel warn
	@touch $@

.PHONY: console
console: $(console) ## Build the web console, which the server serves at its HTTP address

.PHONY: run
run: $(installed) $(console) ## Start a server with an etcd of its own; ARGS="..." for its flags (holdfast server --help)
	@exec node clients/cli/main.ts server $(ARGS)

.PHONY: test
test: $(installed) ## Run the checks and every test; the last line counts them
	@exec node scripts/test.ts

.PHONY: check
check: $(installed) ## Run what needs no test: types, lint, format, generated code, protos, dead code
	@exec node scripts/check.ts

.PHONY: demo
demo: $(installed) ## Sell 300 pieces to 1,000 buyers, some of them killed or paused while they hold the lock
	@exec node demo/main.ts

.PHONY: bench
bench: $(installed) ## Measure against etcd's own locks; writes bench/RESULTS.md
	@exec node bench/main.ts $(ARGS)

.PHONY: simulate
simulate: $(installed) ## Walk the simulation by seed; ARGS="from to [counts] [trace=N]" for which (test/simulation/main.ts)
	@exec node test/simulation/main.ts $(or $(ARGS),1 10000 counts)

.PHONY: faults
faults: $(installed) ## Torment real processes, as root on Linux (half an hour); writes test/faults/REPORT.md; ARGS="..." (test/faults/main.ts)
	@exec node test/faults/main.ts $(or $(ARGS),--report test/faults/REPORT.md)

.PHONY: soak
soak: $(installed) ## Load several servers at full speed for an hour; ARGS="--minutes 5" (test/soak/main.ts)
	@exec node test/soak/main.ts $(ARGS)

.PHONY: mass-death
mass-death: $(installed) ## Have 5,000 sessions die at once, as root on Linux (5 minutes), and judge how the others fare; ARGS="..."
	@exec node test/mass-death/main.ts $(ARGS)

.PHONY: calm
calm: $(installed) $(console) ## Hold what tests time to what is promised, on a machine that does nothing else (10 minutes)
	@CALM=1 vitest run --no-file-parallelism $$(grep -rl support/calm test --include=*.test.ts)

.PHONY: teeth
teeth: $(installed) ## Break the service in each known way and see the tests notice (half an hour); ARGS="SEEDS NAME" (test/simulation/teeth.ts)
	@exec node test/simulation/teeth.ts $(ARGS)

.PHONY: package
package: $(installed) $(console) ## Pack the command line and the TypeScript client for npm, into dist/
	@exec node scripts/pack.ts dist

.PHONY: generate
generate: $(installed) ## Write again what is generated: code from proto/, the table of metrics
	@node scripts/generate.ts && node scripts/metrics-page.ts

.PHONY: format
format: $(installed) ## Format sources and protos, and apply the linter's safe fixes
	@biome check --write .
	@buf format -w proto

.PHONY: clean
clean: ## Remove what can be made again: packages, built tools, caches (not .data, the locks of `make run`)
	rm -rf node_modules clients/*/node_modules .cache coverage dist console/dist clients/typescript/dist test-output clients/java/target

# npm ci would insist on packages for platforms that no registry has to serve; install leaves the lock as it is.
$(installed): package.json package-lock.json .npmrc clients/typescript/package.json
	npm install --no-audit --no-fund --loglevel=error
	@touch $@
