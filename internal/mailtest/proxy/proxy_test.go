package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/proxy"
)

// limit is how long a test waits for what has to happen.
const limit = 20 * time.Second

// serve lets handle deal with each connection to a new listener, and returns its address.
func serve(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(limit))
				handle(conn.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}

// echo sends back all it receives.
func echo(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn)
}

// recorder returns a handler that tells what it received and how that ended.
func recorder() (func(*net.TCPConn), <-chan received) {
	heard := make(chan received, 16)
	return func(conn *net.TCPConn) {
		data, err := io.ReadAll(conn)
		heard <- received{string(data), err}
	}, heard
}

type received struct {
	data string
	err  error // nil for FIN
}

func (r received) String() string { return fmt.Sprintf("%q, then %v", r.data, r.err) }

func start(t *testing.T, o proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *proxy.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func write(t *testing.T, conn *net.TCPConn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// wait receives from heard.
func wait[T any](t *testing.T, heard <-chan T) T {
	t.Helper()
	select {
	case r := <-heard:
		return r
	case <-time.After(limit):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

// plan is the same faults for every connection.
func plan(faults ...proxy.Fault) func(int) []proxy.Fault {
	return func(int) []proxy.Fault { return faults }
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func TestEcho(t *testing.T) {
	for _, delay := range []time.Duration{0, 3 * time.Millisecond} {
		p := start(t, proxy.Options{Target: serve(t, echo), Delay: delay})
		conn := dial(t, p)
		want := make([]byte, 20<<20)
		random := rand.NewChaCha8([32]byte{})
		_, _ = random.Read(want)
		go func() {
			_, _ = conn.Write(want)
			_ = conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("delay %v: %d bytes came back, %v", delay, len(got), err)
		}
		stats := p.Stats()
		size := int64(len(want))
		if stats.Up != size || stats.Down != size || stats.Connections != 1 {
			t.Errorf("delay %v: %+v", delay, stats)
		}
	}
}

// TestDelay sends lines that are under way together: when the first one comes back, after a round
// trip, the others have arrived as well.
func TestDelay(t *testing.T) {
	const delay, lines = 100 * time.Millisecond, 20
	p := start(t, proxy.Options{Target: serve(t, echo), Delay: delay})
	conn := dial(t, p)
	began := time.Now()
	for range lines {
		write(t, conn, "x")
		time.Sleep(50 * time.Microsecond)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("first byte came back after %v, sooner than a round trip", took)
	}
	if up := p.Stats().Up; up != lines {
		t.Errorf("%d bytes have arrived after a round trip, want %d", up, lines)
	}
	if _, err := io.ReadFull(conn, make([]byte, lines-1)); err != nil {
		t.Fatal(err)
	}
}

func TestCutEveryByte(t *testing.T) {
	const text = "0123456789"
	for n := range len(text) + 1 {
		t.Run(fmt.Sprint("fin ", n), func(t *testing.T) {
			handle, heard := recorder()
			p := start(t, proxy.Options{Target: serve(t, handle), Plan: plan(
				proxy.Fault{When: proxy.At(int64(n)), Kind: proxy.FIN})})
			conn := dial(t, p)
			write(t, conn, text)
			if got := wait(t, heard); got != (received{data: text[:n]}) {
				t.Errorf("server heard %v", got)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("client read %d bytes, %v", n, err)
			}
		})
		t.Run(fmt.Sprint("rst ", n), func(t *testing.T) {
			// The server's end is read before the fault is allowed to strike, because a reset
			// may throw away what was not read.
			got := make(chan received, 1)
			p := start(t, proxy.Options{
				Target: serve(t, func(conn *net.TCPConn) {
					buffer := make([]byte, n)
					_, err := io.ReadFull(conn, buffer)
					if err == nil {
						_, err = conn.Read(make([]byte, 1))
					}
					got <- received{string(buffer), err}
				}),
				Plan: plan(
					proxy.Fault{When: proxy.At(int64(n)), Kind: proxy.Hold, For: 20 * time.Millisecond},
					proxy.Fault{When: proxy.At(int64(n)), Kind: proxy.RST}),
			})
			conn := dial(t, p)
			write(t, conn, text)
			if r := wait(t, got); r.data != text[:n] || !isReset(r.err) {
				t.Errorf("server heard %v", r)
			}
			if _, err := conn.Read(make([]byte, 1)); !isReset(err) {
				t.Errorf("client: %v, want a reset", err)
			}
		})
	}
}

func TestCutDown(t *testing.T) {
	p := start(t, proxy.Options{Target: serve(t, echo), Delay: time.Millisecond, Plan: plan(
		proxy.Fault{Dir: proxy.Down, When: proxy.At(7), Kind: proxy.FIN})})
	conn := dial(t, p)
	write(t, conn, "0123456789")
	got, err := io.ReadAll(conn)
	if string(got) != "0123456" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSilence(t *testing.T) {
	struck := make(chan proxy.Fault, 1)
	p := start(t, proxy.Options{
		Target:  serve(t, echo),
		Plan:    plan(proxy.Fault{Dir: proxy.Down, When: proxy.After("o\n"), Kind: proxy.Silence}),
		OnFault: func(_ int, fault proxy.Fault) { struck <- fault },
	})
	conn := dial(t, p)
	write(t, conn, "hello\n")
	if _, err := io.ReadFull(conn, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if fault := wait(t, struck); fault.Kind != proxy.Silence || fault.Dir != proxy.Down {
		t.Errorf("struck: %+v", fault)
	}
	write(t, conn, "anybody there?\n")
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v on a dead line", n, err)
	}
	// A dead line takes only what fits in the buffers of the system.
	_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := conn.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v on a dead line", n, err)
	}
}

func TestHold(t *testing.T) {
	handle, heard := recorder()
	struck := make(chan proxy.Fault, 1)
	p := start(t, proxy.Options{
		Target: serve(t, handle),
		Plan: func(int) []proxy.Fault {
			return []proxy.Fault{{When: proxy.After("END"), Kind: proxy.Hold}}
		},
		OnFault: func(_ int, fault proxy.Fault) { struck <- fault },
	})
	conn := dial(t, p)
	// The pattern is found across packets; the sender leaves in the middle of the hold.
	for _, packet := range []string{"message E", "N", "D)\r", "\n"} {
		write(t, conn, packet)
		time.Sleep(5 * time.Millisecond)
	}
	wait(t, struck)
	conn.Close()
	time.Sleep(20 * time.Millisecond)
	if up := p.Stats().Up; up != int64(len("message END")) {
		t.Errorf("%d bytes have passed", up)
	}
	p.Release()
	if got := wait(t, heard); got != (received{data: "message END)\r\n"}) {
		t.Errorf("server heard %v", got)
	}
}

func TestZombie(t *testing.T) {
	type result struct {
		data string
		err  error
	}
	heard := make(chan result, 1)
	cutOff, spoke := make(chan struct{}), make(chan struct{})
	p := start(t, proxy.Options{
		Target: serve(t, func(conn *net.TCPConn) {
			// A server that speaks when its client has gone, and answers at the end, is not
			// disturbed.
			<-cutOff
			_, first := io.WriteString(conn, "* still here\r\n")
			close(spoke)
			data, err := io.ReadAll(conn)
			_, last := io.WriteString(conn, "OK\r\n")
			heard <- result{string(data), errors.Join(first, err, last)}
		}),
		Plan: plan(proxy.Fault{When: proxy.At(4), Kind: proxy.Zombie}),
	})
	conn := dial(t, p)
	write(t, conn, "0123456")
	time.Sleep(10 * time.Millisecond)
	write(t, conn, "789")
	if _, err := io.Copy(io.Discard, conn); !isReset(err) {
		t.Errorf("client: %v, want a reset", err)
	}
	close(cutOff)
	wait(t, spoke)
	// The proxy needs a moment to notice that there is nobody to pass that on to.
	time.Sleep(50 * time.Millisecond)
	if up := p.Stats().Up; up != 4 {
		t.Errorf("%d bytes have passed during the hold", up)
	}
	p.Release()
	if got := wait(t, heard); got.data != "0123456789" || got.err != nil {
		t.Errorf("server heard %+v", got)
	}
	if faults := p.Stats().Faults; faults != 1 {
		t.Errorf("%d faults", faults)
	}
}

// TestEnds checks that FIN stays FIN and RST stays RST, each behind the bytes before it.
func TestEnds(t *testing.T) {
	handle, heard := recorder()
	p := start(t, proxy.Options{Target: serve(t, handle), Delay: 5 * time.Millisecond})
	conn := dial(t, p)
	write(t, conn, "bye")
	conn.Close()
	if got := wait(t, heard); got != (received{data: "bye"}) {
		t.Errorf("after FIN the server heard %v", got)
	}
	conn = dial(t, p)
	write(t, conn, "bye")
	// The bytes have to leave before the reset, which would overtake them.
	for p.Stats().Up < int64(2*len("bye")) {
		time.Sleep(time.Millisecond)
	}
	_ = conn.SetLinger(0)
	conn.Close()
	if got := wait(t, heard); !isReset(got.err) {
		t.Errorf("after RST the server heard %v", got)
	}
}

// TestHalfClose lets the server go on sending after the client has said all.
func TestHalfClose(t *testing.T) {
	p := start(t, proxy.Options{Delay: time.Millisecond, Target: serve(t, func(c *net.TCPConn) {
		data, _ := io.ReadAll(c)
		time.Sleep(5 * time.Millisecond)
		_, _ = c.Write(bytes.ToUpper(data))
	})})
	conn := dial(t, p)
	write(t, conn, "abc")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "ABC" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReset(t *testing.T) {
	p := start(t, proxy.Options{Target: serve(t, echo)})
	for range 2 {
		conn := dial(t, p)
		write(t, conn, "x")
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if open := p.Stats().Open; open != 1 {
			t.Errorf("%d connections open", open)
		}
		p.Reset()
		if _, err := conn.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("after Reset: %v", err)
		}
		for deadline := time.Now().Add(limit); p.Stats().Open > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the connection never ends")
			}
		}
	}
	if n := p.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestTargetAbsent(t *testing.T) {
	p := start(t, proxy.Options{Target: "127.0.0.1:1"})
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(limit))
		_, err = conn.Read(make([]byte, 1))
	}
	if !isReset(err) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestCloseTwice(t *testing.T) {
	p := start(t, proxy.Options{Target: serve(t, echo), Delay: time.Hour})
	conn := dial(t, p)
	write(t, conn, "never to arrive")
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlived the proxy")
	}
}

func BenchmarkThroughput(b *testing.B) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond} {
		b.Run(delay.String(), func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			p, err := proxy.Start(proxy.Options{Target: listener.Addr().String(), Delay: delay})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			client, err := net.Dial("tcp", p.Addr())
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := listener.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			block := make([]byte, 1<<20)
			b.SetBytes(int64(len(block)))
			go func() {
				for b.Context().Err() == nil {
					if _, err := client.Write(block); err != nil {
						return
					}
				}
			}()
			for b.Loop() {
				if _, err := io.ReadFull(server, block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
