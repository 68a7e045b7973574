# Everything anyone runs here. `make help` lists it.
# What has to be installed for which target: docs/TESTING.md.

GO            ?= go
RACE          ?= -race
# The core of SQLite is C that was translated to Go: it has no goroutines and its memory is not Go's, so the race detector sees nothing in it, at a high price.
# Not modernc.org/...: the linker keeps one copy of a generic function, and must not take that of a package without the detector.
RACEFLAGS     := $(if $(RACE),$(RACE) -gcflags=modernc.org/sqlite/lib=-race=false)
# Without DWARF, which nobody reads of 30 test programs, linking takes two thirds of the time. Stacks and the race detector's reports don't need it.
LINKFLAGS     := -ldflags=-w
# A program under the race detector waits a second at its end for late reports: half a minute in all, and what a test starts waits too.
export GORACE ?= atexit_sleep_ms=0
PKG           ?= ./...
FUZZTIME      ?= 30s
CHAOS_TIMEOUT ?= 60m
SCHEDULES     ?= 50000
DAMAGES       ?= 200
SEED          ?= 1
MUTANTS       ?= 8
ROOMS         ?=
LINT_VERSION  := v2.15.0
LINT          := .cache/golangci-lint-$(LINT_VERSION)
AXE_VERSION   := 4.14.1
AXE           := .cache/axe-core-$(AXE_VERSION)/axe.min.js
AXE_SHA512    := 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the binary into bin/rollcall
	$(GO) build -o bin/rollcall ./cmd/rollcall

.PHONY: test
test: ## vet, arrows, and every test but the attacks with the race detector: what CI runs; 4 minutes on 2 quiet cores
	$(GO) vet $(RACEFLAGS) ./... # with the same flags, so that dependencies are compiled once for both
	$(GO) test $(RACEFLAGS) $(LINKFLAGS) -vet=off -parallel 4 -timeout 15m -skip '^TestAttack' $(PKG) # vetted above; `make attack` has the attacks; many tests wait for processes; 15m is a limit for a stuck one, not an aim

.PHONY: arrows
arrows: ## the import table, the size caps and the links of docs/ alone
	$(GO) test -count=1 ./docs/...

.PHONY: browser
browser: $(AXE) ## the page in headless Chromium (apt-get install chromium), within 60 seconds
	$(GO) test -tags browser -count=1 -parallel 4 -timeout 15m ./query/page/...

.PHONY: shots
shots: ## the pictures in docs/img and the figures in docs/perf/page.txt, made again
	mkdir -p docs/img
	$(GO) test -tags browser -count=1 -run '^TestShots$$' ./query/page -args -shots ../../docs/img
	./docs/perf/page.sh

# Used by the page's tests alone, so it is fetched, not kept: npm checks its own sum, this one is ours.
$(AXE):
	mkdir -p $(dir $(AXE))
	cd .cache && npm pack --silent axe-core@$(AXE_VERSION) && \
	  echo "$(AXE_SHA512)  axe-core-$(AXE_VERSION).tgz" | sha512sum --check --quiet && \
	  tar -xzf axe-core-$(AXE_VERSION).tgz -C axe-core-$(AXE_VERSION) --strip-components 1 package/axe.min.js package/LICENSE
	touch $(AXE)

.PHONY: fmt
fmt: ## gofmt the tree
	gofmt -w $$(git ls-files '*.go')

.PHONY: fmt-check
fmt-check: ## fail where gofmt would change a file
	@out=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not gofmt'ed, run make fmt:"; echo "$$out"; exit 1; fi

.PHONY: lint
lint: $(LINT) ## golangci-lint, pinned; the first run builds it into .cache/
	$(LINT) run ./...

# Built from source by the toolchain that runs it, so that it understands this Go version.
$(LINT):
	@mkdir -p .cache
	GOBIN=$(CURDIR)/.cache $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .cache/golangci-lint $(LINT)

.PHONY: deploy-check
deploy-check: ## image, chart, compose, units, alerts and board of deploy/, within 10 minutes; says what it skipped and why
	./deploy/check.sh

.PHONY: deploy-copies
deploy-copies: ## the chart's copies of files outside of it
	cp deploy/monitoring/rules.yaml deploy/monitoring/board.json docs/examples/nats-server.conf deploy/helm/rollcall/files/

.PHONY: clients
clients: ## a Go and a TypeScript client generated from /openapi.json, compiled and used; the descriptions linted (npm; else it says what it skipped)
	cd docs/clients && $(GO) test -count=1 -timeout 10m -v .

.PHONY: attack
attack: ## what hostile readers, senders and disks could do (TestAttack…); .ci/run runs it too
	$(GO) test $(RACEFLAGS) -count=1 -timeout 15m -run '^TestAttack' $$(git grep -l 'func TestAttack' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's|^|./|')

.PHONY: rounds
rounds: ## all rounds of what `make test` and `make attack` run in part, without the race detector; .ci/run runs it too
	$(GO) test -count=1 -timeout 15m -run '^(TestFuzzAPI|TestTraffic|TestDamagedFile|TestFoldsOnFromAnyPrefix|TestAttackPulls|TestAttackReadersOfTheWholeLog)$$' ./query ./projector/viewstore ./cmd/rollcall
	$(GO) test -count=1 -timeout 15m -run '^TestSchedules$$' ./projector -args -schedules 2000

.PHONY: remedies
remedies: ## what OPERATIONS advises for each error, with the embedded and with an external server, and a few damages
	$(GO) test -count=1 -timeout 20m -run '^(TestRemedies|TestDamage)' ./cmd/rollcall -args -remedies -damages 6

.PHONY: damage
damage: ## bits, pages and files of a data directory damaged at random, DAMAGES times; SEED=… replays
	$(GO) test -count=1 -v -timeout 60m -run '^TestDamage' ./cmd/rollcall -args -damages $(DAMAGES) -damage-seed $(SEED)

.PHONY: chaos
chaos: ## kill -9 of real processes, again and again (build tag chaos; minutes to hours)
	$(GO) test -tags chaos -count=1 -v -timeout $(CHAOS_TIMEOUT) -run '^TestChaos' $(PKG)

.PHONY: schedules
schedules: ## the projector under SCHEDULES seeded schedules from SEED on
	$(GO) test -count=1 -timeout $(CHAOS_TIMEOUT) -run '^TestSchedules$$' ./projector -args -schedules $(SCHEDULES) -schedule-seed $(SEED)

.PHONY: bench
bench: ## Go benchmarks; results worth keeping go to docs/perf with machine and command
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)

.PHONY: mutants
mutants: ## break each fold rule, and MUTANTS statements of each package chosen by SEED (ROOMS=eventlog,query: only these; MUTANTS=0: all, for hours), and show that a test goes red
	$(GO) test -tags mutants -count=1 -v -timeout 60m -run '^TestMutants' ./projections
	$(GO) test -tags mutants -count=1 -v -timeout 72h -run '^TestMutantsSample$$' ./docs -args -seed $(SEED) -mutants $(MUTANTS) -rooms '$(ROOMS)'

.PHONY: promises
promises: ## break each promise of docs/GUARANTEES, and what no test saw once, and show that the test named for it goes red
	$(GO) test -tags mutants -count=1 -v -timeout 3h -run '^TestMutantsPromises$$' ./docs

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME each (FUZZTIME=1h make fuzz)
	@set -e; for pkg in $$($(GO) list $(PKG)); do \
	  for name in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$name"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

.PHONY: clean
clean: ## remove what make built
	rm -rf .cache bin
