package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// recorder stands in the line to an IMAP server and keeps the messages that clients append. It
// changes nothing.
type recorder struct {
	Address string

	listener net.Listener
	server   string
	mu       sync.Mutex
	messages [][]byte
	failures []error
	lines    sync.WaitGroup
}

func startRecorder(server string) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{Address: l.Addr().String(), listener: l, server: server}
	r.lines.Go(r.accept)
	return r, nil
}

// stop returns what was appended. All clients have to have ended.
func (r *recorder) stop() ([][]byte, error) {
	err := r.listener.Close()
	r.lines.Wait()
	return r.messages, errors.Join(append(r.failures, err)...)
}

func (r *recorder) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.lines.Go(func() {
			if err := r.relay(client); err != nil {
				r.mu.Lock()
				r.failures = append(r.failures, fmt.Errorf("recorder: %w", err))
				r.mu.Unlock()
			}
		})
	}
}

func (r *recorder) relay(client net.Conn) error {
	defer client.Close()
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		return err
	}
	answers := make(chan string, 4096)
	var back sync.WaitGroup
	back.Go(func() {
		// However the server ends, the client is to see it.
		defer client.Close()
		defer close(answers)
		watch(client, server, answers)
	})
	err = r.forward(server, bufio.NewReader(client), answers)
	// A client that sends no more has said all that it wanted to.
	err = errors.Join(err, server.Close())
	back.Wait()
	return err
}

// literal is the end of a line that announces one (RFC 9051 §4.3, RFC 7888 §4).
var literal = regexp.MustCompile(`\{([0-9]+)(\+?)\}\r\n$`)

// forward passes on what the client says. A broken line is none of its business.
func (r *recorder) forward(server io.Writer, client *bufio.Reader, answers <-chan string) error {
	command := ""
	for {
		line, err := client.ReadString('\n')
		if err != nil {
			return nil
		}
		if command == "" {
			command = line
		}
		match := literal.FindStringSubmatch(line)
		if match != nil && match[2] == "" {
			drain(answers)
		}
		if _, err := io.WriteString(server, line); err != nil {
			return nil
		}
		if match == nil {
			command = ""
			continue
		}
		if match[2] == "" && !granted(command, answers) {
			command = ""
			continue
		}
		size, err := strconv.ParseInt(match[1], 10, 32)
		if err != nil {
			return err
		}
		raw := make([]byte, size)
		if _, err := io.ReadFull(client, raw); err != nil {
			return nil
		}
		if _, err := server.Write(raw); err != nil {
			return nil
		}
		if words := strings.Fields(command); len(words) > 1 && words[1] == "APPEND" {
			r.mu.Lock()
			r.messages = append(r.messages, raw)
			r.mu.Unlock()
		}
	}
}

func drain(answers <-chan string) {
	for len(answers) > 0 {
		<-answers
	}
}

// granted waits for the server to ask for a literal, or to end the command instead.
func granted(command string, answers <-chan string) bool {
	tag, _, _ := strings.Cut(command, " ")
	for line := range answers {
		if strings.HasPrefix(line, "+") {
			return true
		}
		if strings.HasPrefix(line, tag+" ") {
			return false
		}
	}
	return false
}

// watch passes on what the server says, and tells of its lines before it does, dropping those
// that nobody waits for.
func watch(client io.Writer, server io.Reader, answers chan string) {
	in := bufio.NewReaderSize(server, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		select {
		case answers <- string(line):
		default:
		}
		if _, werr := client.Write(line); werr != nil {
			return
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
