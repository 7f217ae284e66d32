package foreign

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/popferry/popferry/plan"
)

const (
	// maxSeen bounds a file of UIDLs, in octets.
	maxSeen = 256 << 20
	// maxUIDL bounds one UIDL; the standard says 70 octets (RFC 1939 §7).
	maxUIDL = 1 << 10
)

// Seen is what a program remembers of one maildrop: the UIDLs of mail that it fetched.
type Seen struct {
	User, Host string
	Port       string // of getmail, whose User is as inFileName writes it; else empty
	UIDLs      []string
	// Left says why Remember took nothing over.
	Left string
}

// Place says where it was: "alice at pop.example".
func (s Seen) Place() string {
	host := s.Host
	if s.Port != "" {
		host = net.JoinHostPort(s.Host, s.Port)
	}
	return s.User + " at " + host
}

// ReadSeen reads a file in which fetchmail (.fetchids), getmail (oldmail-HOST-PORT-USER)
// or mpop (its uidls_file) remembers what it fetched. What is none of these is a
// *[Mistake].
func ReadSeen(name string, r io.Reader) ([]Seen, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSeen+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSeen:
		return nil, &Mistake{Text: fmt.Sprintf("is larger than %d MB", maxSeen>>20)}
	}
	if base := filepath.Base(name); strings.HasPrefix(base, "oldmail-") {
		return oldmail(base, data)
	}
	if isMpop(data) {
		return mpopUIDLs(data)
	}
	return fetchids(data)
}

// IsOldmail reports whether a file is named as getmail names those that ReadSeen reads.
func IsOldmail(name string) bool {
	_, err := oldmail(filepath.Base(name), nil)
	return strings.HasPrefix(filepath.Base(name), "oldmail-") && err == nil
}

// oldmail is a line a message, its UIDL and a time with a NUL between them. Whose it is
// says the name of the file.
func oldmail(base string, data []byte) ([]Seen, error) {
	parts := strings.SplitN(strings.TrimPrefix(base, "oldmail-"), "-", 2)
	// A host may have dashes: the port is the first part that is a number.
	host := parts[0]
	for len(parts) == 2 {
		next := strings.SplitN(parts[1], "-", 2)
		if next[0] != "" && strings.Trim(next[0], "0123456789") == "" && len(next) == 2 {
			uidls, err := oldmailUIDLs(data)
			return []Seen{{Host: host, Port: next[0], User: next[1], UIDLs: uidls}}, err
		}
		host += "-" + next[0]
		parts = next
	}
	return nil, &Mistake{Text: "its name should be oldmail-HOST-PORT-USER, as getmail gave it"}
}

func oldmailUIDLs(data []byte) (uidls []string, err error) {
	err = eachLine(data, func(line string) error {
		uidl, _, found := strings.Cut(line, "\x00")
		if !found {
			return fmt.Errorf("is no line of an oldmail file of getmail")
		}
		if strings.Contains(uidl, "-") {
			uidl += plan.ByGetmail
		}
		uidls = append(uidls, uidl)
		return nil
	})
	return uidls, err
}

// isSeen reports whether a file without a telling name is one that ReadSeen reads.
func isSeen(data []byte) bool {
	all, err := fetchids(data)
	return isMpop(data) || err == nil && len(all) > 0
}

func isMpop(data []byte) bool {
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte("#")) {
			return bytes.HasPrefix(line, []byte(" "))
		}
	}
	return false
}

// mpopUIDLs is " NUMBER HOST USER" and below it as many UIDLs, one a line.
func mpopUIDLs(data []byte) (all []Seen, err error) {
	err = eachLine(data, func(line string) error {
		switch {
		case strings.HasPrefix(line, "#") && len(all) == 0:
		case strings.HasPrefix(line, " "):
			fields := strings.SplitN(line[1:], " ", 3)
			if len(fields) != 3 {
				return fmt.Errorf("should be: a number, a host, a user")
			}
			all = append(all, Seen{Host: fields[1], User: fields[2]})
		case len(all) == 0:
			return fmt.Errorf("stands before any host and user")
		default:
			last := &all[len(all)-1]
			last.UIDLs = append(last.UIDLs, line)
		}
		return nil
	})
	return all, err
}

// fetchids is "USER@HOST UIDL" a line.
func fetchids(data []byte) (all []Seen, err error) {
	places := map[string]int{}
	err = eachLine(data, func(line string) error {
		user, host, uidl := fetchid(line)
		if user == "" || host == "" || uidl == "" {
			return fmt.Errorf("is neither USER@HOST UIDL, as in .fetchids, nor a line of mpop's or getmail's")
		}
		mailbox := user + "@" + host
		i, known := places[mailbox]
		if !known {
			i = len(all)
			places[mailbox] = i
			all = append(all, Seen{User: user, Host: host})
		}
		all[i].UIDLs = append(all[i].UIDLs, uidl)
		return nil
	})
	return all, err
}

// fetchid takes a line apart. A user name may have blanks, and a UIDL an "@", but no blank
// (RFC 1939 §7).
func fetchid(line string) (user, host, uidl string) {
	at := strings.LastIndexByte(line[:max(0, strings.LastIndexByte(line, ' '))], '@')
	if at < 0 {
		return "", "", ""
	}
	host, uidl, _ = strings.Cut(line[at+1:], " ")
	return line[:at], host, strings.TrimRight(uidl, " ")
}

// eachLine calls fn with every line that is not empty.
func eachLine(data []byte, fn func(string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 4*maxUIDL)
	number := 0
	for lines.Scan() {
		number++
		if lines.Text() == "" {
			continue
		}
		if err := fn(lines.Text()); err != nil {
			return asMistake(number, err)
		}
	}
	if lines.Err() != nil {
		return &Mistake{Line: number + 1, Text: fmt.Sprintf("is longer than %d bytes", 4*maxUIDL)}
	}
	return nil
}

// Remember gives the accounts of a list what was seen of their maildrops, and returns
// what is left: of no account, or no UIDLs. Settings count where they are the same for all.
func (l *List) Remember(all []Seen, settings ...Setting) (left []Seen) {
	defaults := defaultsOf(settings)
	for _, s := range all {
		a := s.of(l.Accounts, defaults)
		switch {
		case a == nil:
			s.Left = "which is in no account"
		case a.numbers && s.Port != "":
			s.Left = "which is not taken over: getmail knows no UIDLs of it (BrokenUIDL), and what it fetched counts as new"
		default:
			a.remember(s.UIDLs)
			continue
		}
		left = append(left, s)
	}
	return left
}

// NoteUnseen notes of which accounts nothing was remembered: what the other program fetched
// of them is copied again.
func (l *List) NoteUnseen() {
	for _, a := range l.Accounts {
		if len(a.Seen) == 0 && !a.numbers {
			a.Unseen = true
			a.note("--seen has nothing of this account: all mail there counts as new")
		}
	}
}

// remember adds UIDLs, without those that no message will have, as popferry takes them for none.
func (a *Account) remember(uidls []string) {
	before := len(a.Seen)
	for _, uidl := range uidls {
		if plan.UsableUIDL(uidl) {
			a.Seen = append(a.Seen, uidl)
		}
	}
	if len(a.Seen)-before < len(uidls) {
		a.note("some mail that was fetched counts as new: its UIDLs have blanks, or what is no text")
	}
	if a.unread != "" {
		a.note("mail that %s is among what it remembers as fetched, and left alone here, too: to bring it, take its UIDLs out of "+
			"the file that skip_uidls names", a.unread)
	}
}

// of returns the account that fits best, of several the first; nil if none does.
func (s Seen) of(accounts []*Account, defaults *Account) (of *Account) {
	best := 0
	for _, a := range accounts {
		if fit := s.fit(a, defaults); fit > best {
			of, best = a, fit
		}
	}
	return of
}

// fit says how well an account is the one whose mail was seen; 0 means that it is another.
func (s Seen) fit(a, defaults *Account) int {
	get := func(key string) string { return cmp.Or(a.Get(key), defaults.Get(key)) }
	hosts := append([]string{get("source.host")}, a.Hosts...)
	user, port := get("source.username"), cmp.Or(get("source.port"), portOf(get("source.tls")))
	if !slices.ContainsFunc(hosts, s.isHost) || !samePort(s.Port, port) {
		return 0
	}
	fit := 0
	switch {
	case user == s.User:
		fit = 3
	case s.Port != "" && inFileName(user) == s.User:
		fit = 1
	default:
		return 0
	}
	if s.Port == port {
		fit++
	}
	return fit
}

func (s Seen) isHost(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(s.Host, "."))
}

// portOf is the port that source.tls means.
func portOf(tls string) string {
	if tls == "" || tls == "implicit" {
		return "995"
	}
	return "110"
}

// samePort reports whether two ports may be those of one maildrop. 110 and 995 are: one
// is with TLS, which an account may have got since. Empty is not known.
func samePort(a, b string) bool {
	standard := []string{"", "110", "995"}
	return a == b || a == "" || slices.Contains(standard, a) && slices.Contains(standard, b)
}

// notInFileName is what getmail takes out of the name of a file (STRIP_CHAR_RE).
var notInFileName = regexp.MustCompile(`[/:;<>|]+`)

// inFileName is a user as getmail writes it into the name of a file.
func inFileName(user string) string { return notInFileName.ReplaceAllString(user, "-") }

// WriteSeen writes the UIDLs that were seen, one a line, as skip_uidls reads them.
func (a *Account) WriteSeen(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(a.Seen, "\n")+"\n")
	return err
}
