# Carillon. "make help" lists what there is to make.

GO     ?= go
NATIVE  = native
TOOL    = $(GO) tool -modfile=internal/tools/go.mod

# What the two programs are built for without a C compiler.
CROSS    = linux/arm64 windows/amd64 darwin/arm64
PROGRAMS = $(wildcard cmd/carillon cmd/carillon-turn)

# The app needs C. Its compile of some minutes is done once: by "make build",
# with the flags of everything native; its tests need neither C nor display, but
# for a few that are integration.
APP = $(wildcard cmd/carillon-desktop)

# Packages that are built differently with the system's libraries, or have
# tests against real programs (tag integration).
REAL = $(patsubst %,./%/...,$(wildcard signaling media turn internal desktop/notify))

# Packages whose goroutines are worth the race detector's time.
RACE = $(patsubst %,./%/...,$(wildcard jingle signaling media ft turn desktop/bridge))

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: setup
setup: ## install the Debian packages for everything below (root or sudo)
	@sh internal/lab/setup.sh interop

.PHONY: build
build: setup-test ## build the programs into bin/, with the system's libraries
	CGO_ENABLED=1 $(GO) build -tags $(NATIVE) -o bin/ $(addprefix ./,$(PROGRAMS) $(APP))

.PHONY: build-pure
build-pure: ## build the programs into bin/ with Go alone
	CGO_ENABLED=0 $(GO) build -o bin/ $(addprefix ./,$(PROGRAMS))

.PHONY: demo
demo: ## make a call between two clients on this machine
	$(GO) run ./cmd/carillon demo

.PHONY: test
test: setup-test test-pure test-native test-race cross ## all tests, both ways to build, against real servers

# Packages only; the real peer of "make interop" is not needed here.
.PHONY: setup-test
setup-test:
	@sh internal/lab/setup.sh

.PHONY: test-pure
test-pure: ## unit tests with Go alone, and the examples
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=0 $(GO) test ./...

.PHONY: test-native
test-native: build ## tests with the system's libraries, Prosody and sound servers
	CARILLON_LAB=required CARILLON=$(CURDIR)/bin/carillon CARILLON_TURN=$(CURDIR)/bin/carillon-turn CGO_ENABLED=1 $(GO) test -p 1 -tags $(NATIVE),integration -timeout 10m $(REAL) # one after the other: they run in real time
	CARILLON_LAB=required CARILLON=$(CURDIR)/bin/carillon CGO_ENABLED=1 $(GO) test -tags $(NATIVE),integration -timeout 10m -run Integration ./cmd/...
	cd packaging/turn/kubernetes/schema && $(GO) test -count 1 ./... # a module of its own; it reads what is beside it

.PHONY: test-race
test-race: ## the concurrent packages under the race detector
	CGO_ENABLED=1 $(GO) test -p 1 -race -short -timeout 10m $(RACE)

.PHONY: cross
cross: ## the programs for other systems
	@set -e; for target in $(CROSS); do for program in $(PROGRAMS); do \
		echo "build $$program for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -o /dev/null ./$$program; \
	done; done

VERSION ?= $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null || git log -1 --format=0.0.0-%cd.g%h --date=format:%Y%m%d 2>/dev/null || echo 0.0.0)
ARCH    ?= $(shell $(GO) env GOARCH)

.PHONY: package
package: ## deb and rpm of the relay, in dist/
	rm -rf dist/build dist/carillon-turn* && mkdir -p dist/build/man dist/build/completion
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags "-s -w -X github.com/carillon-im/carillon/cmd/carillon-turn/internal/cli.release=$(VERSION)" -o dist/build/carillon-turn ./cmd/carillon-turn
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X github.com/carillon-im/carillon/cmd/carillon-turn/internal/cli.release=$(VERSION)" -o dist/build/here ./cmd/carillon-turn # whatever ARCH is
	dist/build/here man dist/build/man && gzip -n9 dist/build/man/*.1
	for shell in bash zsh fish; do dist/build/here completion $$shell > dist/build/completion/carillon-turn.$$shell || exit 1; done
	for kind in deb rpm; do ARCH=$(ARCH) VERSION=$(patsubst v%,%,$(VERSION)) $(TOOL) nfpm package --config packaging/turn/nfpm.yaml --packager $$kind --target dist/ || exit 1; done

.PHONY: package-desktop
package-desktop: setup-test ## deb of the app and the command line, with the system's libraries, in dist/
	rm -rf dist/desktop && mkdir -p dist/desktop/man dist/desktop/completion
	CGO_ENABLED=1 $(GO) build -tags $(NATIVE) -ldflags "-s -w" -o dist/desktop/ ./cmd/carillon ./cmd/carillon-desktop
	$(GO) run ./internal/icon cmd/carillon-desktop/icon.svg dist/desktop/icons
	dist/desktop/carillon man dist/desktop/man && cp packaging/desktop/carillon-desktop.1 dist/desktop/man/ && gzip -n9 dist/desktop/man/*.1
	for shell in bash zsh fish; do dist/desktop/carillon completion $$shell > dist/desktop/completion/carillon.$$shell || exit 1; done
	ARCH=$(ARCH) VERSION=$(patsubst v%,%,$(VERSION)) $(TOOL) nfpm package --config packaging/desktop/nfpm.yaml --packager deb --target dist/

.PHONY: lint
lint: ## gofmt, go vet and staticcheck, both ways to build
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags $(NATIVE),integration,guest,interop,bench ./...
	$(TOOL) staticcheck ./...
	$(TOOL) staticcheck -tags $(NATIVE),integration,guest,interop,bench ./...

.PHONY: interop
interop: setup build ## calls with a real Dino through a real Prosody
	CARILLON_LAB=required CARILLON=$(CURDIR)/bin/carillon CARILLON_DESKTOP=$(CURDIR)/bin/carillon-desktop $(GO) test -tags interop -count 1 -v -timeout 30m ./internal/interop/

.PHONY: bench
bench: setup build ## what a user feels, measured; see BENCHMARKS.md
	CARILLON_LAB=required CARILLON=$(CURDIR)/bin/carillon CARILLON_DESKTOP=$(CURDIR)/bin/carillon-desktop $(GO) test -tags $(NATIVE),bench -count 1 -v -timeout 30m ./internal/bench/
	$(GO) test -run '^$$' -bench . -benchtime 1s ./jingle/... ./signaling/... ./ft/...

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
