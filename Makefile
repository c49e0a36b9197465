# Everything a developer, a pipeline or a packager runs. Building, running and
# testing need Go and make; the other tools are built from pinned versions into
# .bin when a target asks for them.
#
# Preamble: https://tech.davis-hansson.com/p/make/
SHELL := bash
.DELETE_ON_ERROR:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables
MAKEFLAGS += --no-builtin-rules
MAKEFLAGS += --no-print-directory

# What a caller may set.
ARGS      ?=
PKG       ?= ./...
RUN       ?=
COUNT     ?= 6
FUZZTIME  ?= 20s
SEEDS     ?= 1000
MINUTES   ?= 30
URL       ?=
AGAINST   ?=
GO_TEST   ?= go test
GOFLAGS   ?=
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# The version comes from VERSION. Asking git from inside the go command fails a
# build in a checkout that belongs to somebody else, as in many pipelines.
ifeq ($(filter -buildvcs=%,$(GOFLAGS)),)
export GOFLAGS += -buildvcs=false
endif

# Versions are pinned in one place, the module files, and read from there.
# A binary's folder carries its version, so a raised pin is a new file and
# nothing is rebuilt that has not changed.
pinned = $(shell awk '$$1 == "require" { $$1 = ""; $$0 = $$0 } $$1 == "$(2)" && $$2 ~ /^v/ { print $$2 }' $(1))
tool   = .bin/$(1)-$(call pinned,$(2),$(3))/$(1)

BUF                   := $(call tool,buf,tools/tools.mod,github.com/bufbuild/buf)
GOFUMPT               := $(call tool,gofumpt,tools/tools.mod,mvdan.cc/gofumpt)
GOTESTSUM             := $(call tool,gotestsum,tools/tools.mod,gotest.tools/gotestsum)
BENCHSTAT             := $(call tool,benchstat,tools/tools.mod,golang.org/x/perf)
GOLANGCI_LINT         := $(call tool,golangci-lint,tools/golangci.mod,github.com/golangci/golangci-lint/v2)
PROTOC_GEN_GO         := $(call tool,protoc-gen-go,go.mod,google.golang.org/protobuf)
PROTOC_GEN_CONNECT_GO := $(call tool,protoc-gen-connect-go,go.mod,connectrpc.com/connect)

PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
# buf finds the plugins on the PATH.
WITH_PLUGINS := PATH="$(CURDIR)/$(dir $(PROTOC_GEN_GO)):$(CURDIR)/$(dir $(PROTOC_GEN_CONNECT_GO)):$$PATH"

# The race detector needs a C compiler; without one the tests run without it,
# and say so.
RACE = $(shell if [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null; then echo -race; else echo "make: no C compiler, so no race detector" >&2; fi)

# Test functions whose names begin so kill the process under test, or the power
# of its disk, and start it again; the last does all that to a cluster, for a moment.
CRASH_TESTS := ^Test(Crash|Kill|PowerCut|ClusterTorture)
packages_with = $(sort $(addprefix ./,$(dir $(shell grep -rlE --include='*_test.go' --exclude-dir=node_modules --exclude-dir='.*' '$(1)' * 2>/dev/null))))

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "%s\n", substr($$0, 5) } /^[a-z\/-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run

.PHONY: run
run: build ## Run Baton with the simulator and the demo apps (ARGS='...' for flags)
	exec bin/baton dev $(ARGS)

.PHONY: dev
dev: ## The same, built and started anew whenever a source file changes
	@trap '[ -z "$${pid:-}" ] || kill "$$pid" 2>/dev/null || true; wait' EXIT; trap 'exit 0' INT TERM; \
	while true; do \
		mkdir -p .cache; touch .cache/dev; \
		if go build -o bin/baton-dev ./services/baton; then bin/baton-dev dev $(ARGS) & pid=$$!; else pid=; fi; \
		until [ -n "$$(find pkg services go.mod \( -name '*.go' -o -name '*.mod' -o -path '*/console/dist/*' \) -newer .cache/dev -print -quit)" ]; do sleep 1; done; \
		if [ -n "$$pid" ]; then kill "$$pid" 2>/dev/null || true; wait "$$pid" || true; fi; \
	done

.PHONY: demo
demo: build ## A conversation that plays itself on free ports, and leaves nothing behind
	exec bin/baton demo $(ARGS)

.PHONY: cluster
cluster: build ## Three NATS servers and three nodes on loopback, with a menu to kill them (ARGS="-run 'show; kill b2; wait; show'")
	go run ./tools/cluster -baton bin/baton $(ARGS)

.PHONY: build
build: ## Build bin/baton
	go build -ldflags='-X main.Version=$(VERSION)' -o bin/baton ./services/baton

.PHONY: dist
dist: ## Build bin/baton for shipping: static, stripped, the same bytes everywhere
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -X main.Version=$(VERSION)' -o bin/baton ./services/baton

##@ Test

.PHONY: test
test: ## Unit tests with the race detector, short (PKG=./pkg/control RUN=Release)
	$(GO_TEST) $(RACE) -short -timeout 10m $(if $(RUN),-run '$(RUN)') $(PKG)

.PHONY: test/slow
test/slow: system ## All tests, the long ones included
	$(GO_TEST) $(RACE) -timeout 20m $(if $(RUN),-run '$(RUN)') $(PKG)

.PHONY: test/rewrite
test/rewrite: ## Write the answers of the scenario scripts anew; read the diff before you commit it
	go test -count=1 $(or $(call packages_with,flag[.]Bool.*"rewrite"),$(error no test knows -rewrite)) -rewrite
	git --no-pager diff --stat -- '*testdata*'

.PHONY: crash
crash: system ## Kill Baton, and the power of its disk, at every crash point
	$(if $(call packages_with,^func Test(Crash|Kill|PowerCut)),$(GO_TEST) -count=1 -timeout 10m -run '$(CRASH_TESTS)' $(call packages_with,^func Test(Crash|Kill|PowerCut)),@echo "crash: no test is named $(CRASH_TESTS)")

.PHONY: torture
torture: ## Kill, pause and cut off the nodes and servers of a real cluster under load, for MINUTES
	BATON_TORTURE=$(MINUTES) $(GO_TEST) -count=1 -timeout 0 -v -run '^TestClusterTorture$$' ./services/baton | grep -v '^ *time=\|\[INF\]'

.PHONY: simulate
simulate: ## Deterministic simulation over SEEDS seeds (ARGS='-seed N' for the first)
	go test -count=1 -timeout 0 -v ./pkg/sim -run 'TestSimulate' -seeds $(SEEDS) $(ARGS)

.PHONY: model
model: system ## Check the model of the fence in all its states: minutes, 4 GB of memory
	go test -count=1 -timeout 0 -v ./tools/model -full

.PHONY: conformance
conformance: build ## Put Baton through the conformance vectors over HTTP (another server: ARGS='--config FILE')
	bin/baton conformance $(if $(URL),--url $(URL)) $(ARGS)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@grep -rHoE --include='*_test.go' --exclude-dir=node_modules --exclude-dir='.*' '^func Fuzz[A-Za-z0-9_]+' * | \
	while IFS=: read -r file name; do \
		name=$${name#func }; echo "fuzz: $$name in $$(dirname "$$file")"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
	done

.PHONY: bench
bench: build ## Measure Baton beside its floors and a baseline, half an hour (ARGS='--quick', '--help')
	go run ./tools/bench $(ARGS)

.PHONY: bench/micro
bench/micro: $(BENCHSTAT) ## Micro-benchmarks, COUNT times; compared with .cache/bench/old.txt if it is there
	@mkdir -p .cache/bench
	go test -run '^$$' -bench '$(or $(RUN),.)' -benchmem -count $(COUNT) $(PKG) | tee .cache/bench/new.txt
	$(BENCHSTAT) $(wildcard .cache/bench/old.txt) .cache/bench/new.txt

# The baseline's own source is not part of Baton: BATON_BENCH_PGBASELINE says
# where it is.
.PHONY: bench-deps
bench-deps: ## Install PostgreSQL, which bench runs a baseline on
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
		sudo=; [ "$$(id -u)" -eq 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends postgresql; }

.PHONY: readme
readme: ## Run the code blocks of README.md
	$(if $(wildcard tools/readmetest/*.go),go run ./tools/readmetest,@echo "readme: tools/readmetest is not there yet")

##@ House

.PHONY: lint
lint: lint/go lint/proto ## golangci-lint and buf lint

.PHONY: lint/fix
lint/fix: $(GOLANGCI_LINT) ## What golangci-lint can put right itself
	$(GOLANGCI_LINT) run --fix $(PKG)

.PHONY: lint/go
lint/go: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run $(PKG)

.PHONY: lint/proto
lint/proto: $(BUF)
ifneq ($(PROTOS),)
	$(BUF) lint
	$(BUF) format --diff --exit-code
else
	@echo "lint/proto: no .proto file under proto"
endif

.PHONY: fmt
fmt: $(GOLANGCI_LINT) $(BUF) ## Format Go (gofumpt, import order) and proto
	$(GOLANGCI_LINT) fmt
	$(if $(PROTOS),$(BUF) format --write)

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT_GO) ## Write pkg/gen from proto
ifneq ($(PROTOS),)
	$(BUF) format --write
	$(WITH_PLUGINS) $(BUF) generate
else
	@echo "generate: no .proto file under proto"
endif

.PHONY: checkgenerate
checkgenerate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT_GO) ## Fail when pkg/gen is not what proto generates
ifneq ($(PROTOS),)
	rm -rf .cache/generate
	$(WITH_PLUGINS) $(BUF) generate --output .cache/generate
	diff -r .cache/generate/pkg/gen pkg/gen || { echo "checkgenerate: pkg/gen is stale; run make generate and commit" >&2; exit 1; }
else
	@echo "checkgenerate: no .proto file under proto"
endif

# Stored and published records are a promise from the first release on; before
# it there is nothing to compare with. AGAINST=main compares with any commit.
.PHONY: breaking
breaking: $(BUF) ## Fail when a .proto breaks readers of the last release (AGAINST=commit)
	@against='$(AGAINST)'; against=$${against:-$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)}; \
	if [ -z "$$against" ]; then echo "breaking: no release yet"; exit 0; fi; \
	rm -rf .cache/breaking; mkdir -p .cache/breaking; \
	git archive "$$against" -- buf.yaml proto | tar -x -C .cache/breaking; \
	echo "$(BUF) breaking --against $$against"; $(BUF) breaking --against .cache/breaking

.PHONY: tidy
tidy: ## Check that go.mod and go.sum say what the source needs
	go mod tidy -diff

.PHONY: tools
tools: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT_GO) $(GOLANGCI_LINT) $(GOTESTSUM) ## Build what check needs into .bin

# From a clean clone, compiling the tools is the longest stage: leave out debug
# information, and in buf, which runs for a moment, optimisation as well. The
# standard library keeps its flags and so is compiled once for all.
LEAN  := -ldflags='-s -w' -gcflags='all=-dwarf=false' -gcflags=std=
QUICK := -ldflags='-s -w' -gcflags='all=-dwarf=false -N -l' -gcflags=std=

$(BUF):
	go build $(QUICK) -modfile=tools/tools.mod -o $@ github.com/bufbuild/buf/cmd/buf

$(GOFUMPT):
	go build $(LEAN) -modfile=tools/tools.mod -o $@ mvdan.cc/gofumpt

$(GOTESTSUM):
	go build $(LEAN) -modfile=tools/tools.mod -o $@ gotest.tools/gotestsum

$(BENCHSTAT):
	go build $(LEAN) -modfile=tools/tools.mod -o $@ golang.org/x/perf/cmd/benchstat

$(GOLANGCI_LINT):
	go build $(LEAN) -modfile=tools/golangci.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# The plugins come from the product's own go.mod: the generator has the version
# of the library that its output runs on.
$(PROTOC_GEN_GO):
	go build $(LEAN) -o $@ google.golang.org/protobuf/cmd/protoc-gen-go

$(PROTOC_GEN_CONNECT_GO):
	go build $(LEAN) -o $@ connectrpc.com/connect/cmd/protoc-gen-connect-go

# What some tests need beyond Go: strace cuts a process off at a system call,
# spin checks models, and it and the race detector need a C compiler.
.PHONY: system
system:
	@need=(); [ "$$(uname -s)" = Linux ] || exit 0; \
	command -v strace >/dev/null || need+=(strace); \
	command -v spin >/dev/null || need+=(spin); \
	command -v "$$(go env CC)" >/dev/null || need+=(gcc libc6-dev); \
	[ $${#need[@]} -gt 0 ] || exit 0; \
	sudo=; [ "$$(id -u)" -eq 0 ] || sudo='sudo -n'; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null && $$sudo apt-get update -qq && \
		$$sudo apt-get install -y -qq --no-install-recommends "$${need[@]}"; then exit 0; fi; \
	echo "make: please install $${need[*]}; the tests that need it are skipped" >&2

STAGES := tools generated lint unit crash simulate conformance readme

.PHONY: check
check: ## All that the pipeline does: tools, generated code, lint, tests, crash, README
	@rm -rf .cache/check; mkdir -p .cache/check; table=; verdict=0; begin=$$SECONDS; \
	for stage in $(STAGES); do \
		echo; echo "=== $$stage"; start=$$SECONDS; \
		$(MAKE) check/$$stage 2>&1 | tee .cache/check/$$stage.log || verdict=1; \
		table+=$$(printf '%-12s %4ds  %s' "$$stage" $$((SECONDS - start)) "$$([ $$verdict -eq 0 ] && echo ok || echo FAILED)")$$'\n'; \
		[ $$verdict -eq 0 ] || break; \
	done; \
	echo; echo "=== stages"; printf '%s' "$$table"; printf '%-12s %4ds\n' total $$((SECONDS - begin)); \
	echo; echo "=== test runner"; grep -hE '^(ok|FAIL|DONE)\b|^ *--- FAIL' .cache/check/*.log || true; echo; \
	if [ $$verdict -eq 0 ]; then echo "check: passed"; else echo "check: stage $$stage failed" >&2; exit 1; fi

# gotestsum runs the same tests; it adds a count and a report for the pipeline.
.PHONY: $(addprefix check/,$(STAGES))
check/tools:
	@$(MAKE) -j2 tools
check/generated: checkgenerate breaking
check/lint: lint
check/unit: system $(GOTESTSUM)
	@$(MAKE) test GO_TEST='$(GOTESTSUM) --format standard-quiet --junitfile .cache/check/unit.xml --'
check/crash: crash
check/simulate:
	go test -count=1 -v -timeout 10m ./pkg/sim -run '^(TestSimulate|TestRunsRepeat)$$' -seeds 110 >.cache/check/simulate.out || { tail -c 4000 .cache/check/simulate.out; exit 1; }
	@grep -hE '^ok|steps$$|twice$$' .cache/check/simulate.out
check/conformance: conformance
check/readme: readme demo

.PHONY: clean
clean: ## Remove what was built, tools included
	rm -rf bin .bin .cache .bench
