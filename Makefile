# Everything here needs Go, make and git only.
#
#   make run     build, start the engine on config.toml, import the shipped log, show what to try
#   make test    lint (gofmt, vet, staticcheck), and tests: with the race detector, the long ones without it
#   make faults  everything that may go wrong, with the tests that hold what happens then
#   make bench   compare with programs that do the same without the engine
#   make gobench Go benchmarks of the hot paths, for benchstat
#   make screenshots  the pictures of the documentation
#   make assets  what the dashboard loads, from npm
#   make packages  archives, deb and rpm of this commit, in dist; needs goreleaser
#   make site    docs as a site with a search, in build/site; from npm
#   make build   bin/engine and build/plugins/*.wasm

GO      ?= go
# In a guest neither symbols nor paths of the build machine are of use.
GOGUEST  = GOOS=wasip1 GOARCH=wasm $(GO) build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w'

EXAMPLES    = examples/wasm-projections
GO_EXAMPLES = repo-files process-map sessions low-stock-alerts unique-usernames order-status
PLUGINS     = $(GO_EXAMPLES:%=build/plugins/%.wasm) build/plugins/count.wasm

.PHONY: all build engine plugins package-files packages licences vulnerabilities lint-workflows lint-deploy site assets screenshots run test lint tests test-program test-long test-guests test-projects faults bench gobench soak fuzz clean

all: build

build: engine plugins

# The version that it says it is, and its manual pages: of a release.
VERSION =

engine:
	@$(GO) build -trimpath $(VERSION:%=-ldflags='-X main.version=%') -o bin/engine ./cmd/engine

plugins: $(PLUGINS)

# The Go toolchain knows best what has changed, so these are always asked for.
.PHONY: $(GO_EXAMPLES:%=build/plugins/%.wasm)
$(GO_EXAMPLES:%=build/plugins/%.wasm): build/plugins/%.wasm:
	@mkdir -p build/plugins
	@$(GOGUEST) -o $@ ./$(EXAMPLES)/$*

build/plugins/count.wasm: $(EXAMPLES)/count/count.wasm
	@mkdir -p build/plugins
	@cp $< $@

run: build
	@bin/engine run --config config.toml

# What goes into packages beside the binary.
package-files: engine
	@rm -rf build/packages && mkdir -p build/packages/completions
	@bin/engine man build/packages/man
	@bin/engine completion bash > build/packages/completions/engine.bash
	@bin/engine completion zsh > build/packages/completions/_engine
	@bin/engine completion fish > build/packages/completions/engine.fish
	@bin/engine completion powershell > build/packages/completions/engine.ps1
	@$(GO) run ./internal/licences > build/packages/THIRD_PARTY_LICENSES

# A release that goes nowhere: everything in dist, named after the commit.
GORELEASER ?= goreleaser
packages:
	$(GORELEASER) release --snapshot --clean

# Every licence of what is in the binary is one that the project takes.
licences:
	@$(GO) run ./internal/licences -list

# Known vulnerabilities of what the program calls; asks vuln.go.dev.
GOVULNCHECK ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.2.0
vulnerabilities:
	$(GOVULNCHECK) ./...

ACTIONLINT ?= $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
lint-workflows:
	$(ACTIONLINT)

# What Kubernetes and BuildKit would say of deploy: a module of its own, for it has many dependencies.
lint-deploy:
	cd deploy/lint && $(GO) vet ./... && $(GO) run . ../kubernetes ../docker/Dockerfile

# The documents as a site, in build/site: links are checked, and that the search finds something.
# REPOSITORY=https://… is where links to code lead.
site:
	cd docs/site && npm ci --no-audit --no-fund --loglevel=error
	@rm -rf build/site
	cd docs/site && npx eleventy --quiet && npx pagefind --site ../../build/site --quiet && node check.js

# What the dashboard loads, from npm: committed, so that only who changes it needs node.
DASHBOARD = engine/query/dashboard
assets:
	cd $(DASHBOARD) && npm ci --no-audit --no-fund --loglevel=error
	cd $(DASHBOARD)/node_modules && cp htmx.org/dist/htmx.min.js htmx-ext-sse/dist/sse.min.js uplot/dist/uPlot.iife.min.js uplot/dist/uPlot.min.css ../assets/vendor/
	cd $(DASHBOARD)/node_modules && for p in htmx.org htmx-ext-sse uplot; do cp $$p/LICENSE ../assets/vendor/$$p.LICENSE; done

# The pictures of the documentation, from an engine that runs, in Chromium.
screenshots:
	@mkdir -p docs/images
	GNOMON_SCREENSHOTS=$(CURDIR)/docs/images $(GO) test -count=1 -timeout 5m -run TestScreenshots ./internal/browser

OURS = cmd engine host plugins sdk examples internal bench deploy

# What -short leaves out of the program runs without the race detector, which makes guests
# ten times slower: real logs, kill -9, every alert. What takes longer still is in `make faults`;
# a test holds that all is in one of the two. `make soak` has the largest log.
# Of the program, which starts modules again and again, some scripts run with it.
RACED = TestScripts/(node|reads|generations|interrupt)
LONG = RealLogs|Killed|UnderLoad|Transfer|TestAlerts$$
# What calls compilers: a new project in every language, and what the guides tell to do.
PROJECTS = Docs|NewProjects|Dev$$

test: lint tests

lint: build
	@test -z "$$(gofmt -l $(OURS))" || { gofmt -l $(OURS); echo 'gofmt: the files above need formatting'; exit 1; }
	$(GO) vet ./...
	GOOS=wasip1 GOARCH=wasm $(GO) vet ./sdk/... ./examples/...
	$(GO) tool staticcheck ./...

# Compiled modules, which all tests of a run share, kept where nobody else writes.
export GNOMON_TEST_CACHE ?= $(CURDIR)/build/compiled

# The program waits much, and compilers work: so they go beside each other.
tests: build
	$(GO) test -race -short -timeout 12m $$($(GO) list ./... | grep -v -e cmd/engine -e /sdk/)
	@$(MAKE) --no-print-directory -j4 -Oline test-program test-long test-guests test-projects

# Not to be mistaken for children of this make: cargo, and make in new projects.
ALONE = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

# Without the race detector first: it compiles the modules in a tenth of the time.
test-program:
	$(ALONE) $(GO) test -short -skip '$(LONG)' -timeout 12m ./cmd/engine/...
	$(ALONE) $(GO) test -race -short -timeout 12m -run '$(RACED)' ./cmd/engine

# Most of these wait for processes that are killed, and catch up.
test-long:
	$(ALONE) $(GO) test -timeout 25m -run '$(LONG)' ./cmd/engine

# The SDKs and their guests, which have no second thread: no race detector, and nothing left
# out.
test-guests:
	$(ALONE) $(GO) test -timeout 12m ./$(EXAMPLES)/account-balances ./$(EXAMPLES)/kurrentdb ./sdk/... ./engine/testdriver
	cd bench && $(GO) vet ./... && $(ALONE) $(GO) test ./...

# New projects and guides, step by step, and the dashboard in a browser.
test-projects:
	$(ALONE) $(GO) test -timeout 25m -run '$(PROJECTS)' ./cmd/engine
	$(ALONE) $(GO) test -timeout 5m ./internal/browser

# Every case of docs/RELIABILITY.md, with what its tests find. FAULTS='3 17': these ones.
FAULTS ?=
faults:
	@$(GO) run ./internal/faults $(FAULTS)

# The engine beside programs that do the same without it, as ratios: see docs/PERFORMANCE.md.
BENCH ?=
bench:
	cd bench && $(GO) build -o ../bin/bench . && ../bin/bench $(BENCH)

# The hot paths one by one, in the form that benchstat reads: COUNT times each.
COUNT     ?= 6
HOT       ?= .
BENCHTIME ?= 0.5s
gobench:
	@$(GO) test -run '^$$' -bench '$(HOT)' -benchtime $(BENCHTIME) -count $(COUNT) -timeout 60m ./engine ./engine/ingest ./engine/store ./host ./sdk/jsonfields

# Longer runs of the crash tests: more rounds, the large logs.
soak: build
	GNOMON_SOAK=1 $(GO) test -timeout 60m -count=1 ./...

# Every fuzz target for a minute.
FUZZTIME ?= 60s
fuzz:
	@for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$target/*_test.go | cut -d' ' -f2); do \
	    echo "$$target $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$target || exit 1; \
	  done; done

clean:
	rm -rf bin build
