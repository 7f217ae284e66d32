package main

import (
	"context"
	"net"
	"path/filepath"
	"runtime/debug"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/page"
	"github.com/popferry/popferry/internal/private"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// listen opens the port of the status page, if there is to be one.
func (k *keeping) listen(ctx context.Context) (net.Listener, error) {
	address := k.session.config.Bridge.Listen
	if address == "" {
		return nil, nil
	}
	return page.Listen(ctx, address)
}

// reloadPage goes over to another token. Without one for another address this one, which stays
// open, keeps its own: there it may be that none is needed.
func (k *keeping) reloadPage(ctx context.Context, config *plan.Config) {
	before, now := k.session.config.Bridge.Listen, config.Bridge.Listen
	if before != now {
		k.log.WarnContext(bridge.Answer(ctx), "bridge.listen changed, which needs a restart", "before", before, "now", now)
	}
	if before != now && config.Bridge.Token.Secret.Empty() {
		return
	}
	k.token.Store(&config.Bridge.Token.Secret)
}

// pageKey is what the page's cookies are made with. It is kept, so that a restart signs nobody
// out.
func (k *keeping) pageKey() secret.Value {
	kept := &bridge.Memory{Path: filepath.Join(k.app.state, cookiesFile), Write: private.Write,
		Failed: func(err error) {
			k.log.Error("a restart will ask for the token of the status page again", "error", err)
		}}
	if key := kept.Load("key"); key != "" {
		return secret.New(key)
	}
	key := page.NewKey()
	kept.Save("key", key.Reveal())
	return key
}

// showPage answers at a port until ctx ends; done is closed when it no longer does.
func (k *keeping) showPage(ctx context.Context, l net.Listener) (done chan struct{}) {
	done = make(chan struct{})
	if l == nil {
		close(done)
		return done
	}
	handler := page.New(page.Options{
		Snapshot: k.bridge.Snapshot, Changed: k.bridge.Changed, Passes: k.session.journal.EachPass,
		Ways:    k.office.Ways,
		Token:   func() secret.Value { return *k.token.Load() },
		Key:     k.pageKey(),
		Address: k.session.config.Bridge.Listen, Build: buildOf(debug.ReadBuildInfo()).Version, Log: k.log,
	})
	k.log.Info("status page", "url", page.URL(l.Addr()))
	go func() {
		defer close(done)
		if err := page.Serve(ctx, l, handler, k.log); err != nil {
			k.log.Error("there is no status page any more", "error", err)
		}
	}()
	return done
}
