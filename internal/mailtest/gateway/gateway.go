// Package gateway is a SOCKS5 (RFC 1928) and an HTTP CONNECT (RFC 9110 §9.3.6) proxy for tests. It
// listens on the loopback interface and connects to where it is asked to, under whatever name.
package gateway

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// Options make a proxy. The zero value lets everybody connect anywhere.
type Options struct {
	// Username and Password are demanded unless they are empty.
	Username, Password string
	// Names are the addresses (host:port) behind the names that clients ask for.
	Names map[string]string
	// Serve replaces all that is done with a connection.
	Serve func(net.Conn)
}

// Proxy serves both protocols at once, told apart by the first byte. It is safe for concurrent use.
type Proxy struct {
	options  Options
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	open    map[net.Conn]bool
	targets []string
}

// Start listens on a port of its own. The caller has to call [Proxy.Close].
func Start(o Options) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	p := &Proxy{options: o, listener: listener, open: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Targets returns what clients asked for, as they wrote it.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.targets...)
}

// Close ends the proxy with all its connections and waits for that.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(conn)
		p.running.Go(func() {
			defer conn.Close()
			if p.options.Serve != nil {
				p.options.Serve(conn)
				return
			}
			p.serve(conn)
		})
	}
}

// keep notes a connection that Close has to end.
func (p *Proxy) keep(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
}

func (p *Proxy) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	first, err := in.Peek(1)
	if err != nil {
		return
	}
	open := p.http
	if first[0] == 5 {
		open = p.socks
	}
	server, err := open(in, conn)
	if err != nil {
		return
	}
	defer server.Close()
	p.running.Go(func() {
		io.Copy(server, in) // both ends are closed, whatever it says
		server.Close()
	})
	io.Copy(conn, server)
}

// connect dials a target.
func (p *Proxy) connect(target string) (net.Conn, error) {
	p.mu.Lock()
	p.targets = append(p.targets, target)
	p.mu.Unlock()
	if address, ok := p.options.Names[target]; ok {
		target = address
	}
	server, err := net.Dial("tcp", target)
	if err == nil {
		p.keep(server)
	}
	return server, err
}

var errRefused = errors.New("refused")

func (p *Proxy) http(in *bufio.Reader, out io.Writer) (net.Conn, error) {
	request, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.options.Username+":"+p.options.Password))
	if p.options.Username != "" && request.Header.Get("Proxy-Authorization") != want {
		io.WriteString(out, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return nil, errRefused
	}
	server, err := p.connect(request.Host)
	if err != nil || request.Method != http.MethodConnect {
		io.WriteString(out, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return nil, errRefused
	}
	_, err = io.WriteString(out, "HTTP/1.1 200 Connection established\r\n\r\n")
	return server, err
}

func (p *Proxy) socks(in *bufio.Reader, out io.Writer) (net.Conn, error) {
	if err := p.socksLogin(in, out); err != nil {
		return nil, err
	}
	target, err := socksTarget(in)
	if err != nil {
		return nil, err
	}
	server, err := p.connect(target)
	if err != nil {
		out.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0}) // host unreachable
		return nil, err
	}
	_, err = out.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
	return server, err
}

// socksLogin chooses no authentication, or that of RFC 1929.
func (p *Proxy) socksLogin(in *bufio.Reader, out io.Writer) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(in, methods); err != nil {
		return err
	}
	if p.options.Username == "" {
		_, err := out.Write([]byte{5, 0})
		return err
	}
	offered := false
	for _, method := range methods {
		offered = offered || method == 2
	}
	if !offered {
		out.Write([]byte{5, 0xff})
		return errRefused
	}
	out.Write([]byte{5, 2})
	if _, err := in.Discard(1); err != nil {
		return err
	}
	user, err := counted(in)
	if err != nil {
		return err
	}
	password, err := counted(in)
	if err != nil {
		return err
	}
	if user != p.options.Username || password != p.options.Password {
		out.Write([]byte{1, 1})
		return errRefused
	}
	_, err = out.Write([]byte{1, 0})
	return err
}

// counted reads a text with its length in front.
func counted(in *bufio.Reader) (string, error) {
	n, err := in.ReadByte()
	if err != nil {
		return "", err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(in, text)
	return string(text), err
}

func socksTarget(in *bufio.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	host := ""
	switch head[3] {
	case 1, 4:
		ip := make(net.IP, map[byte]int{1: net.IPv4len, 4: net.IPv6len}[head[3]])
		if _, err := io.ReadFull(in, ip); err != nil {
			return "", err
		}
		host = ip.String()
	case 3:
		name, err := counted(in)
		if err != nil {
			return "", err
		}
		host = name
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(in, port); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))), nil
}
