# Everything a developer, a pipeline or a packager runs. Needs Go and make; the
# other tools are built from pinned versions into .bin when a target asks.
#
# Preamble: https://tech.davis-hansson.com/p/make/
SHELL := bash
.DELETE_ON_ERROR:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables
MAKEFLAGS += --no-builtin-rules
MAKEFLAGS += --no-print-directory

# Versions are pinned in one place, the module files, and read from there.
# A binary's folder carries its version, so a raised pin is a new file and
# nothing is rebuilt that has not changed.
pinned = $(shell awk '$$1 == "require" { $$1 = ""; $$0 = $$0 } $$1 == "$(2)" && $$2 ~ /^v/ { print $$2 }' $(1))

BUF                   := .bin/buf-$(call pinned,tools/tools.mod,github.com/bufbuild/buf)/buf
PROTOC_GEN_GO         := .bin/protoc-gen-go-$(call pinned,go.mod,google.golang.org/protobuf)/protoc-gen-go
PROTOC_GEN_CONNECT_GO := .bin/protoc-gen-connect-go-$(call pinned,go.mod,connectrpc.com/connect)/protoc-gen-connect-go

PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
# buf finds the plugins on the PATH.
WITH_PLUGINS := PATH="$(CURDIR)/$(dir $(PROTOC_GEN_GO)):$(CURDIR)/$(dir $(PROTOC_GEN_CONNECT_GO)):$$PATH"

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z\/]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT_GO) ## Write pkg/gen from proto (format the .proto files first)
ifneq ($(PROTOS),)
	$(BUF) format --write
	$(WITH_PLUGINS) $(BUF) generate
else
	@echo "generate: no .proto file under proto"
endif

.PHONY: checkgenerate
checkgenerate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT_GO) ## Fail when pkg/gen differs from what proto would generate
ifneq ($(PROTOS),)
	rm -rf .cache/generate
	$(WITH_PLUGINS) $(BUF) generate --output .cache/generate
	diff -r .cache/generate/pkg/gen pkg/gen || { echo "checkgenerate: pkg/gen is stale; run make generate and commit" >&2; exit 1; }
else
	@echo "checkgenerate: no .proto file under proto"
endif

$(BUF):
	go build -ldflags='-s -w' -modfile=tools/tools.mod -o $@ github.com/bufbuild/buf/cmd/buf

# The plugins come from the product's own go.mod: the generator has the version
# of the library that its output runs on.
$(PROTOC_GEN_GO):
	go build -ldflags='-s -w' -o $@ google.golang.org/protobuf/cmd/protoc-gen-go

$(PROTOC_GEN_CONNECT_GO):
	go build -ldflags='-s -w' -o $@ connectrpc.com/connect/cmd/protoc-gen-connect-go
