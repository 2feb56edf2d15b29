# kusto2otlp. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Everything fetched or built to work on the project, but for Go's own caches.
CACHE   ?= .cache
TOOLS   := $(abspath $(CACHE))/tools
export GOBIN := $(TOOLS)
export PATH  := $(TOOLS):$(PATH)

GOLANGCI_LINT_VERSION := v2.15.0
BUF_VERSION           := v1.75.0
PROTOC_GEN_GO_VERSION := v1.36.12

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

.PHONY: demo
demo: build ## Run everything on this machine and watch it; DEMO_FOR=20s ends by itself
	@bin/kusto2otlp demo $(if $(DEMO_FOR),--for $(DEMO_FOR))

.PHONY: build
build: kql ## Build bin/kusto2otlp
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kusto2otlp ./cmd/kusto2otlp

.PHONY: kql
kql: ## Fetch Microsoft's KQL parser, at its pinned version, to be built in
	@internal/kql/fetch.sh

.PHONY: test
test: kql ## Run every test
	@go test -timeout 15m ./...

.PHONY: race
race: kql ## Run every test with the race detector
	@# The JavaScript engine is a machine translation of C: with race checks in it, it is hundreds of times slower.
	@go test -race -short -tags fastparser -gcflags='modernc.org/...=-race=false' -timeout 25m ./...

.PHONY: soak
soak: kql ## Kill, freeze and cut everything off at random, and count; SOAK_FOR=10m, SOAK_SEED=1
	@SOAK_FOR=$(or $(SOAK_FOR),5m) go test -run '^TestSoak$$' -count 1 -v -timeout 24h ./cmd/kusto2otlp

.PHONY: bench
bench: kql ## Run the benchmarks that README quotes
	@go test -run '^$$' -bench . -benchmem ./querier/... ./transformer ./cmd/kusto2otlp

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Vet and lint
	@go vet ./...
	@golangci-lint run

.PHONY: generate
generate: $(TOOLS)/buf-$(BUF_VERSION) $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION) ## Write the generated files anew
	@cd schemas/proto && buf lint && buf generate
	@go run ./internal/tools/schemagen

GENERATED := schemas/wire ':schemas/*.schema.json'

.PHONY: check-generated
check-generated: generate ## Fail when a generated file is not what its source gives
	@git diff --exit-code --stat -- $(GENERATED) || { echo 'generated files are out of date: run "make generate" and commit'; exit 1; }
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { git status --short -- $(GENERATED); exit 1; }

.PHONY: tools
tools: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) $(TOOLS)/buf-$(BUF_VERSION) $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION) kql ## Fetch or build every tool

# A tool's stamp carries its version, so that another version is another target.
$(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION)"
	@go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@touch $@
$(TOOLS)/buf-$(BUF_VERSION):
	@echo "building buf $(BUF_VERSION)"
	@go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)
	@touch $@
$(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION):
	@go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)
	@touch $@

.PHONY: clean
clean: ## Remove what was built; the caches stay
	@rm -rf bin
