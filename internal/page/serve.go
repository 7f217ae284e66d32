package page

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// Bounds of what visitors can take.
const (
	maxConnections = 16
	maxHeader      = 8 << 10
	headerIn       = 5 * time.Second
	requestIn      = 10 * time.Second
	answerIn       = 20 * time.Second
	idleFor        = 10 * time.Second
	// goodbye is how long answers under way may take once we stop.
	goodbye = 2 * time.Second
)

// Listen opens the port.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	dns, unresolved := errors.AsType[*net.DNSError](err)
	if errors.Is(err, syscall.EADDRNOTAVAIL) || unresolved && !dns.IsNotFound { // it may come with the network
		return nil, fault.New(fault.Temporary, "the status page can't listen on %s: %w", address, err).
			WithHint("bridge.listen in accounts.yaml must be an address of this machine, such as 127.0.0.1:8325")
	}
	hint := "check bridge.listen in accounts.yaml: it must be an address of this machine, such as 127.0.0.1:8325"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program has this port, maybe another popferry: end that, " +
			"or choose another port in bridge.listen in accounts.yaml"
	case errors.Is(err, fs.ErrPermission):
		hint = "this user may not open this port: choose one from 1024 on in bridge.listen in accounts.yaml"
	}
	return nil, fault.New(fault.Config, "the status page can't listen on %s: %w", address, err).WithHint("%s", hint)
}

// URL is where people on this machine see what listens at an address: one that stands for all
// addresses is none to go to.
func URL(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err == nil && at.Addr().IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d/", at.Port())
	}
	return "http://" + a.String() + "/"
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	crowd := newCrowd(l)
	server := &http.Server{
		ConnState: crowd.note,
		Handler:   handler, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerIn, ReadTimeout: requestIn, WriteTimeout: answerIn, IdleTimeout: idleFor,
		BaseContext: func(net.Listener) context.Context { return ctx }, // ends streams
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(crowd)
	if release() { // nobody asked it to stop
		return fault.New(fault.Temporary, "the status page ended: %w", err).
			WithHint("check the network of this machine, then start the bridge again")
	}
	<-stopped
	return nil
}
