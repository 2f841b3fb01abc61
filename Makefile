# make          this list
# Everything runs on a machine that has Go, make and, for containers, Docker.

SHELL   := /bin/bash
IMAGE   := raftlab/node:dev
BACKEND ?= auto
SEED    ?=
S       ?= default partition-minority pause-leader kill-all member-churn
STATIC  := CGO_ENABLED=0 go build -trimpath -ldflags=-s
# The race detector needs a C compiler; everything else does not.
RACE    := $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v "$$(go env CC)" >/dev/null && echo -race)
DOCKER  := $(shell timeout 5 docker info >/dev/null 2>&1 && echo yes)
BROWSER := $(shell command -v chromium chromium-browser google-chrome chrome)

.PHONY: help build image test lint bench endurance soak etcd sim bugs compare chaos chaos-long doctor up down clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/raftd, the node, and bin/raftlab, the lab
	@mkdir -p bin
	@$(STATIC) -o bin/raftd ./node/cmd/raftd
	@$(STATIC) -o bin/raftlab ./chaos/cmd/raftlab

# The last stage of the Dockerfile over binaries that this machine's Go built: the same image, in seconds, and
# without pulling a base image.
image: build ## the container image, built with this machine's Go
	@mkdir -p bin/image/out/data
	@$(STATIC) -o bin/image/out/raftlab-agent ./chaos/agent
	@cp bin/raftd bin/image/out/raftd
	@sed -n '/^FROM scratch/,$$p' Dockerfile | sed 's,--from=build ,,; s, /out/, out/,g' > bin/image/Dockerfile
	@docker build -q -t $(IMAGE) bin/image >bin/image/build.log 2>&1 || { cat bin/image/build.log; exit 1; }

ifeq ($(DOCKER),yes)
MAYBE_IMAGE := image
endif

lint: ## gofmt and go vet
	@unformatted=$$(gofmt -l chaos harness linearizability node raft); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:" $$unformatted; exit 1; fi
	@go vet ./...

# What has no goroutines has no races: the core, the explorer, the simulator, the log, the checkers.
PLAIN  := ./raft/... ./node/sim ./node/internal/wal ./node/internal/vfs ./linearizability

test: lint build $(MAYBE_IMAGE) ## unit tests, scripts, some simulated clusters, the race detector where it pays, containers where Docker answers
	go test $(PLAIN)
	go test $(RACE) $$(go list ./node/... ./harness/... ./chaos/... | grep -vxF "$$(go list $(PLAIN))")
	@$(if $(DOCKER),,echo "skipped: the tests in containers, for Docker does not answer; bin/raftlab doctor says how to mend it")
	@$(if $(BROWSER),,echo "skipped: the tests of pages, for there is no Chromium in PATH; apt-get install chromium")

# In a module of its own, so that nobody else carries etcd.
bench: build ## PUT and GET beside etcd and a bare HTTP handler, about ten minutes: BENCH=-quick for one
	@cd node/bench && CGO_ENABLED=0 go build -trimpath -o ../../bin/raftbench .
	@bin/raftbench -raftd bin/raftd -dir bin $(BENCH)

sim: build ## 1,000 clusters in virtual time: SEED=n for one, FOR=60s for as many as fit
	@bin/raftlab sim $(if $(SEED),--seed $(SEED)) $(if $(FOR),--for $(FOR))

bugs: build ## the bug museum: what finds each planted bug, and how fast; a long time
	@bin/raftlab bugs --write

endurance: ## 100 rounds of kill -9, and a member that missed 100,000 entries: minutes
	@RAFTLAB_ROUNDS=100 RAFTLAB_ENTRIES=100000 go test ./node/endurance -timeout 30m -v

soak: build ## ten million writes on a thousand keys, and what memory they took: a quarter of an hour
	@cd node/bench && CGO_ENABLED=0 go build -trimpath -o ../../bin/raftbench .
	@bin/raftbench soak -raftd bin/raftd

etcd: ## etcd from its own module, for raftlab run --system etcd
	@mkdir -p bin
	@cd harness/systems/etcd/server && CGO_ENABLED=0 go build -trimpath -o ../../../../bin/etcd .

# In a module of its own, so that nobody else carries the other logs.
compare: ## damage our log, etcd's, raft-wal and Pebble's, and see what each does when it is opened again
	@cd node/internal/wal/compare && go test ./...

chaos: build $(if $(filter process,$(BACKEND)),,$(MAYBE_IMAGE)) ## break a cluster and judge it: S=scenario SEED=n BACKEND=auto|docker|process
	@bin/raftlab run $(S) $(if $(SEED),--seed $(SEED)) --backend $(BACKEND)

chaos-long: build ## every scenario that ships, one after the other
	@$(MAKE) --no-print-directory chaos S="$$(bin/raftlab list | awk 'NF == 0 {exit} NR > 1 {print $$1}' | xargs)"

doctor: build ## what this machine can do for the lab
	@bin/raftlab doctor

up: $(MAYBE_IMAGE) ## five members with docker compose, on ports 8000 to 8004
	@docker compose version >/dev/null 2>&1 && docker compose up -d --no-build || docker-compose up -d --no-build

down: ## stop them and forget their data
	@docker compose version >/dev/null 2>&1 && docker compose down -v || docker-compose down -v

clean: build ## undo what an interrupted run left, and remove what was built; runs/ stays
	@bin/raftlab clean
	@rm -rf bin
