// Package dovecot runs a private Dovecot for tests: the real server, as both POP3 source and IMAP
// destination, on loopback ports of its own, with its mail in files that a test can read.
//
// [Found] tells whether the program is there. [Start] writes a configuration, starts the server
// and returns once it answers; [Server.Stop] ends it, and between [Server.Down] and [Server.Up] it
// is away. Any user name logs in with the one password
// ([Options.Password]). POP3 and IMAP are kept apart: what a user has in POP3 and what the same
// user has in IMAP are two different mail stores, so one server plays both ends (but with
// [Options.OneStore]).
//
//   - [Server.Deliver] puts a message into a POP3 maildrop, [Server.DeliverTo] into an IMAP folder,
//     each by writing a file.
//   - [Server.Maildrop] and [Server.Messages] read them back from the files, never through a
//     protocol: they are what an oracle compares with.
//
// The server needs no privileges. Started by root it gives them up and runs as the user nobody,
// because Dovecot refuses to serve mail to root. If the test process dies, however it dies, a
// guard process ends the server.
//
// Dovecot's quirks that matter here: it accepts LITERAL+ whether or not it announces it; the POP3
// capabilities cannot be changed; a NUL in a message becomes 0x80 when appended over IMAP.
package dovecot

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/mailtest/certs"
)

// startLimit is how long a server may take to answer on all its ports; it usually takes a tenth
// of a second.
const startLimit = 15 * time.Second

// attempts is how often Start tries again with other ports, when another program was quicker to
// take one of those that were free a moment ago.
const attempts = 5

// DefaultPassword is what every user logs in with unless [Options.Password] says otherwise.
const DefaultPassword = "secret"

// Options says how the server is to behave. The zero value is a fast server with everything that
// Dovecot offers.
type Options struct {
	// Dir is where configuration, logs and mail go. It has to exist. Empty: a new directory, on
	// /dev/shm (memory) if there is one, which Stop removes.
	//
	// A server started by root runs as nobody and has to reach Dir: parents of Dir inside the
	// system's temporary directory are made searchable by all (mode +x).
	Dir string
	// Password is the password of every user: letters, digits, "-", "_", "." only.
	Password string
	// WithoutIMAP names capabilities that are not announced in IMAP, such as "MULTIAPPEND" or
	// "LITERAL+". They keep working all the same: Dovecot only stops talking of them.
	WithoutIMAP []string
	// AlsoIMAP names capabilities to announce in addition, such as "LITERAL-" or
	// "APPENDLIMIT=1000". Dovecot does nothing about them.
	AlsoIMAP []string
	// Prefix is the prefix of the IMAP namespace, such as "INBOX.". Its last character is the
	// hierarchy separator. Empty: no prefix and "/".
	Prefix string
	// OneStore has POP3 show the INBOX of IMAP.
	OneStore bool
	// Fsync is Dovecot's mail_fsync: "never" (the default here), "optimized" or "always".
	Fsync string
	// Quota limits each user's IMAP mail, in the form of Dovecot's quota_rule, such as
	// "storage=100k:messages=10", and is told in IMAP. Empty: no quota.
	Quota string
	// SoftQuota tells of the quota and lets it be exceeded.
	SoftQuota bool
	// SignIn offers more ways to log in than PLAIN and LOGIN.
	SignIn *SignIn
	// Extra is appended to the configuration file as it is.
	Extra string
}

// Server is a running Dovecot. Its methods are safe for concurrent use.
type Server struct {
	// POP3, POP3S, IMAP and IMAPS are the addresses (host:port). POP3 and IMAP speak clear text
	// and offer STLS and STARTTLS; POP3S and IMAPS speak TLS from the first byte.
	POP3, POP3S, IMAP, IMAPS string
	// Certs is the server's certificate and its authority; Files are the same as files.
	Certs *certs.Pair
	Files certs.Files
	// Dir is the directory of the server, Log its log file and Password every user's password.
	Dir, Log, Password string

	options Options
	runner  owner
	private bool // Dir was made by Start
	process *process
}

// Found looks for the dovecot program and returns its path.
func Found() (path string, ok bool) {
	for _, name := range []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// Start starts a server and waits until it answers on all four ports. The caller has to call
// [Server.Stop]. An error contains the end of the server's log.
func Start(o Options) (*Server, error) {
	program, ok := Found()
	if !ok {
		return nil, errors.New("dovecot is not installed")
	}
	s, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("prepare dovecot: %w", err)
	}
	for try := 1; ; try++ {
		err = s.launch(program)
		if err == nil {
			return s, nil
		}
		if try == attempts || !strings.Contains(s.logTail(), "Address already in use") {
			break
		}
	}
	err = fmt.Errorf("start dovecot: %w\n%s", err, s.logTail())
	return nil, errors.Join(err, s.cleanUp())
}

// Stop ends the server, with every session, and waits until all its processes are gone. It may be
// called more than once.
func (s *Server) Stop() error {
	err := s.process.stop()
	return errors.Join(err, s.cleanUp())
}

// Down ends the server as [Server.Stop] does, and keeps its mail and its ports for [Server.Up].
func (s *Server) Down() error { return s.process.stop() }

// Up starts a server again that is down, and waits until it answers. Until then other programs
// may take its ports, for a moment: it is tried again.
func (s *Server) Up() error {
	program, _ := Found() // it was there before
	for try := 1; ; try++ {
		err := s.boot(program)
		if err == nil || try == attempts || !strings.Contains(s.logTail(), "Address already in use") {
			return err
		}
		time.Sleep(time.Second)
	}
}

// cleanUp removes the directory if it is the server's own.
func (s *Server) cleanUp() error {
	if !s.private {
		return nil
	}
	return os.RemoveAll(s.Dir)
}

// prepare makes the directories, the certificate and all that does not depend on the ports.
func prepare(o Options) (*Server, error) {
	s := &Server{options: o, Password: o.Password, private: o.Dir == ""}
	if s.Password == "" {
		s.Password = DefaultPassword
	}
	if err := checkWord("password", s.Password); err != nil {
		return nil, err
	}
	var err error
	if s.runner, err = findOwner(); err != nil {
		return nil, err
	}
	if s.Certs, err = certs.New(certs.Options{}); err != nil {
		return nil, err
	}
	if err := s.makeDirs(); err != nil {
		return nil, errors.Join(err, s.cleanUp())
	}
	return s, nil
}

func (s *Server) makeDirs() error {
	var err error
	if s.private {
		s.Dir, err = os.MkdirTemp(memoryDir(), "dovecot-")
	} else {
		s.Dir, err = filepath.Abs(s.options.Dir)
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.Dir); err != nil {
		return err
	}
	s.Log = filepath.Join(s.Dir, "dovecot.log")
	if err := s.runner.open(s.Dir); err != nil {
		return err
	}
	for _, name := range []string{"run", "state", "tls", "pop3", "imap"} {
		if err := s.runner.mkdir(filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	if s.Files, err = s.Certs.WriteFiles(filepath.Join(s.Dir, "tls")); err != nil {
		return err
	}
	return s.runner.give(s.Files.CA, s.Files.Cert, s.Files.Key)
}

// memoryDir returns a directory whose files live in memory, or "" for the usual temporary one.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// launch picks ports and starts the processes.
func (s *Server) launch(program string) error {
	addresses, err := freeAddresses(4)
	if err != nil {
		return err
	}
	s.POP3, s.POP3S, s.IMAP, s.IMAPS = addresses[0], addresses[1], addresses[2], addresses[3]
	return s.boot(program)
}

// boot writes the configuration and starts the processes.
func (s *Server) boot(program string) error {
	config := filepath.Join(s.Dir, "dovecot.conf")
	signIn, err := s.signIn()
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, []byte(s.config()+signIn), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.Log, nil, 0o600); err != nil {
		return err
	}
	if err := s.runner.give(config, s.Log); err != nil {
		return err
	}
	remove := ""
	if s.private {
		remove = s.Dir
	}
	s.process, err = startProcess(s.runner, program, config, remove)
	if err != nil {
		return err
	}
	if err := s.awaitGreetings([]string{s.POP3, s.POP3S, s.IMAP, s.IMAPS}); err != nil {
		return errors.Join(err, s.process.stop())
	}
	return nil
}

// awaitGreetings returns once every port has greeted, which it does only when the login processes
// are there.
func (s *Server) awaitGreetings(addresses []string) error {
	deadline := time.Now().Add(startLimit)
	for _, address := range addresses {
		for !s.greets(address) {
			if s.process.exited() {
				return errors.New("the server ended at once")
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("no greeting from %s within %v", address, startLimit)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

func (s *Server) greets(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return false
	}
	if address == s.POP3S || address == s.IMAPS {
		config := s.Certs.Client()
		config.ServerName = "127.0.0.1"
		conn = tls.Client(conn, config)
	}
	n, err := conn.Read(make([]byte, 16))
	return err == nil && n > 0
}

// Ports are below those that systems give to outgoing connections: of these one that is
// free is taken in no time where tests make thousands.
const (
	firstPort = 20_000
	ports     = 12_000
)

// freeAddresses returns loopback addresses with ports that nobody has at the moment.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for try := 0; len(addresses) < n; try++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports)))
		switch {
		case err == nil:
			// Closed only on return, so that no port is handed out twice.
			defer listener.Close()
			addresses = append(addresses, listener.Addr().String())
		case try == ports:
			return nil, err
		}
	}
	return addresses, nil
}

// logTail returns the end of the server's log.
func (s *Server) logTail() string {
	const limit = 4 << 10
	data, err := os.ReadFile(s.Log)
	if err != nil {
		return ""
	}
	if len(data) > limit {
		data = data[len(data)-limit:]
	}
	return string(data)
}

// checkWord refuses text that would need quoting in Dovecot's configuration or as a file name.
func checkWord(what, text string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@"
	if text == "" || text[0] == '.' || strings.Trim(text, allowed) != "" {
		return fmt.Errorf("%s %q: only letters, digits, \"-\", \"_\", \".\" and \"@\"", what, text)
	}
	return nil
}
