# make test    what the README promises; as root it installs the mail servers
# make lint    gofmt, go vet, staticcheck
# make bench   the speed table and picture in docs/
# make torture kills, cuts, full disks, planted bugs: docs/reliability.md; before a release
# make soak    a bridge for an hour (DURATION=1h) with all that can go wrong: docs/reliability.md
# make interop real servers, every pair of them, against the matrix in docs/; needs root
# make fuzz    each parser of what servers and files say, FUZZTIME (20s) long

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Debian packages that the tests against real servers, and in a real browser, need.
SERVERS     := dovecot-imapd dovecot-pop3d chromium
DURATION    ?= 1h

.PHONY: build test lint bench servers fuzz interop interop-servers torture soak

build:
	$(GO) build -trimpath -o popferry ./cmd/popferry

# Two packages at a time, since the machine that this has to fit has two cores, and the longest one
# first. SQLite, its libc and its allocator are C that became Go: their memory is none that the race
# detector watches, and to be watched all the same took them more than half of the time of those that
# use them. The driver and our use of it stay watched.
UNWATCHED   := $(foreach p,sqlite/lib libc memory,-gcflags=modernc.org/$(p)=-race=false)

test: servers
	$(GO) test -race $(UNWATCHED) -p 2 -timeout 40m ./internal/ferry ./...
	$(GO) test ./internal/ferry/sim ./internal/ferry/steps

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Installed only when missing, when we may, and where apt-get exists; elsewhere
# the tests that need a server or a browser skip and say so.
servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { command -v dovecot && command -v chromium; } >/dev/null; then \
		echo "installing $(SERVERS)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SERVERS); \
	fi

# Takes about a quarter of an hour, and a machine that has nothing else to do.
bench: servers
	$(GO) run ./internal/bench

# By hand and before a release: under an hour on two cores that have nothing else to do. Some of
# it needs root and strace, and is left out without them. TORTURE names parts, and flags.
torture: servers
	$(GO) run ./internal/torture -out docs $(TORTURE)

# By hand: as long as it is told to, and some minutes to catch up.
soak: servers
	$(GO) run ./internal/torture -out docs -duration $(DURATION) soak

# One target at a time: go test takes no more. What it finds is kept in testdata/fuzz.
FUZZTIME    ?= 20s
fuzz:
	@git grep -o 'func Fuzz[A-Za-z]*' -- '*_test.go' | sed 's/:func / /' | while read -r file target; do \
		echo "$$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$${file%/*}" || exit 1; done

# Compares with docs/interop.json; "make interop KEEP=-keep" writes it anew.
interop: servers interop-servers
	$(GO) test -count=1 -tags interop ./internal/interop
	$(GO) run ./internal/interop $(KEEP)

# Unpacked into ~/.cache/popferry-interop, not installed: they conflict with each other.
interop-servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then internal/interop/fetch.sh; fi
