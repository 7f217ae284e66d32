# make test    what the README promises; as root it installs the mail servers
# make lint    gofmt, go vet, staticcheck
# make bench   the speed table and picture in docs/

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Debian packages that the tests against real servers need.
SERVERS     := dovecot-imapd dovecot-pop3d

.PHONY: build test lint bench servers fuzz

build:
	$(GO) build -trimpath -o popferry ./cmd/popferry

# Two packages at a time, since the machine that this has to fit has two cores.
test: servers
	$(GO) test -race -p 2 -timeout 9m ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Installed only when missing, when we may, and where apt-get exists; elsewhere
# the tests that need a server skip and say so.
servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v dovecot >/dev/null; then \
		echo "installing $(SERVERS)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SERVERS); \
	fi

# Takes about a quarter of an hour, and a machine that has nothing else to do.
bench: servers
	$(GO) run ./internal/bench
