package discover

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
)

// Protocol is what a server is for.
type Protocol string

const (
	// POP3 is where mail is fetched from.
	POP3 Protocol = "POP3"
	// IMAP is where it goes.
	IMAP Protocol = "IMAP"
	// SMTP is where mail programs send (RFC 6409).
	SMTP Protocol = "SMTP"
)

// Server is a server that was found.
type Server struct {
	Host string
	Port int
	TLS  wire.TLSMode
	// Origin says where the setting comes from, in words.
	Origin string
	// Warnings say what is to be looked at before it is used.
	Warnings []string

	user string // the user name, with localPart for what stands before the "@"
}

// Named is a server that the user named, "host" or "host:port", for the addresses of
// a domain.
func Named(p Protocol, where string, mode wire.TLSMode, domain string) (Server, error) {
	host, digits, found := strings.Cut(where, ":")
	s := Server{Host: host, Port: ports[p][mode], TLS: mode, Origin: "the command line",
		user: localPart + "@" + domain}
	var err error
	if found {
		s.Port, err = strconv.Atoi(digits)
	}
	if err != nil || s.Port < 1 || s.Port > 65535 || host == "" || host != clean(host) {
		return Server{}, fault.New(fault.Usage, "%q is no server", fault.Escape(where)).
			WithHint("name it as host, or as host:port")
	}
	return s, nil
}

// localPart is the placeholder of Mozilla's autoconfiguration.
const localPart = "%EMAILLOCALPART%"

// User returns what the owner of an address logs in with.
func (s Server) User(address string) string {
	local, _ := split(address)
	return strings.ReplaceAll(s.user, localPart, local)
}

// Findings is what was found for the addresses of a domain.
type Findings struct {
	Domain string
	// Provider is whose servers they are; its ID is empty if nobody knows.
	Provider provider.Provider
	// Notes say what went wrong on the way, in words.
	Notes []string

	servers map[Protocol]Server
	refused map[Protocol]string // why a server will not be found
	shunned map[Protocol]error  // what is wrong with the TLS of one at a usual name
	asked   bool                // the network was
	trouble bool                // something that failed may work later
}

// Server returns the server for a protocol.
func (f Findings) Server(p Protocol) (Server, bool) {
	s, ok := f.servers[p]
	return s, ok
}

// Missing is the error for a protocol without a server.
func (f Findings) Missing(p Protocol) *fault.Error {
	if why := f.refused[p]; why != "" {
		return fault.New(fault.Config, "no %s server for %s: %s", p, f.Domain, why).
			WithHint("ask the provider; if there is one all the same, name its host with %s", hostFlag[p])
	}
	code, hint := fault.Config, "name its host with "+hostFlag[p]+"; the provider's help pages have it"
	tried := []string{"it is not in the table of providers"}
	if f.asked {
		tried = append(tried, "no SRV record, no autoconfiguration, no MX record of a known provider "+
			"and no answer at the usual names"+f.butFor(p))
	}
	var name x509.HostnameError
	if errors.As(f.shunned[p], &name) {
		hint = "if what the certificate is for is your provider's, name that host with " + hostFlag[p]
	}
	if f.trouble {
		tried[len(tried)-1] = "who could be asked knows none" + f.butFor(p)
		code, hint = fault.Temporary, "check the network and try again, or name its host with "+hostFlag[p]
	}
	return fault.New(code, "no %s server found for %s: %s", p, f.Domain,
		strings.Join(append(tried, f.Notes...), "; ")).WithHint("%s", hint)
}

// butFor tells of an answer at a usual name that could not be taken.
func (f Findings) butFor(p Protocol) string {
	if f.shunned[p] == nil {
		return ""
	}
	return fmt.Sprintf(" but for one that can't be trusted (%v)", f.shunned[p])
}

// hostFlag is how a person names a server on the command line.
var hostFlag = map[Protocol]string{POP3: "--source-host", IMAP: "--dest-host", SMTP: "--smtp-host"}

// Resolver is the part of *net.Resolver that is needed. SRV records come by
// priority and weight. Names are absolute: a search list would lead elsewhere.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// Finder finds servers. The zero value asks nobody but the table.
type Finder struct {
	// Resolver asks the DNS; nil means no network at all.
	Resolver Resolver
	// Transport carries the requests for autoconfigurations; nil is the network.
	Transport http.RoundTripper
	// Dial opens connections to servers; nil is the network.
	Dial wire.DialFunc
	// CAFile is a PEM file that replaces the system's roots; may be empty.
	CAFile string
	// Database is the address of Mozilla's database, to which a domain is
	// appended; nil: do not ask it.
	Database *url.URL
	// AllowHTTP also asks for autoconfigurations over plain http, which anybody
	// on the way can change.
	AllowHTTP bool
}

// patience bounds the whole search for one domain.
const patience = time.Minute

// Find looks for the servers of an address that are wanted. An error means that the
// address is none, or that ctx ended; what was not found is missing in the findings.
func (f Finder) Find(ctx context.Context, address string, want ...Protocol) (Findings, error) {
	domain, err := domainOf(address)
	if err != nil {
		return Findings{}, err
	}
	s := &search{Finder: f, address: address, want: want, Findings: Findings{
		Domain: domain, servers: map[Protocol]Server{}, refused: map[Protocol]string{}, shunned: map[Protocol]error{}}}
	s.table()
	if f.Resolver == nil {
		return s.Findings, nil
	}
	s.asked = true
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, step := range []func(context.Context){s.srv, s.autoconfig, s.mx, s.guess} {
		if len(s.open()) > 0 && limited.Err() == nil {
			step(limited)
		}
	}
	if ctx.Err() != nil {
		return s.Findings, fault.Stopped("look for the servers of %s: %w", domain, ctx.Err())
	}
	s.trouble = s.trouble || limited.Err() != nil
	return s.Findings, nil
}

// search is the work of one Find.
type search struct {
	Finder
	Findings
	address string
	want    []Protocol
}

// open lists what is still to be found.
func (s *search) open() []Protocol {
	return slices.DeleteFunc(slices.Clone(s.want), func(p Protocol) bool {
		_, found := s.servers[p]
		return found || s.refused[p] != ""
	})
}

func (s *search) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func (s *search) table() {
	if p, ok := provider.ByDomain(s.Domain); ok {
		s.belongs(p, "the table of providers: "+p.Name)
	}
}

// mx asks who takes the domain's mail (RFC 5321 §5.1): mostly whoever stores it.
func (s *search) mx(ctx context.Context) {
	records, err := s.Resolver.LookupMX(ctx, s.Domain+".")
	if len(records) == 0 && err != nil {
		s.lookupFailed("MX", err)
		return
	}
	for _, record := range records[:min(len(records), maxRecords)] {
		if p, ok := provider.ByMX(record.Host); ok {
			s.belongs(p, fmt.Sprintf("the MX record of %s (%s) and the table of providers: %s",
				s.Domain, fault.Escape(record.Host), p.Name))
			return
		}
	}
}

// belongs uses what is known of a provider, also what it does not have.
func (s *search) belongs(p provider.Provider, origin string) {
	s.Provider = p
	for _, protocol := range []Protocol{POP3, IMAP, SMTP} {
		known := serverOf(p, protocol)
		if _, found := s.servers[protocol]; found || s.refused[protocol] != "" {
			continue
		}
		if known == nil {
			s.refuse(p, protocol)
			continue
		}
		s.servers[protocol] = Server{Host: known.Host, Port: known.Port, TLS: wire.TLSMode(known.TLS),
			Origin: origin, user: p.User(*known, localPart+"@"+s.Domain)}
	}
}

func (s *search) refuse(p provider.Provider, protocol Protocol) {
	for _, q := range p.Quirks {
		if q.Flag == "no-"+strings.ToLower(string(protocol)) {
			s.refused[protocol] = q.Text
		}
	}
}

// replace puts a server that the person named in the place of what is known.
func (f *Findings) replace(p Protocol, named Server) {
	f.servers[p] = named
	f.Provider, _ = provider.ByHost(named.Host)
}

// lookupFailed notes a question to the DNS that got no answer; that there is no
// such record is one.
func (s *search) lookupFailed(what string, err error) {
	if isNotFound(err) {
		return
	}
	s.trouble = true
	s.note("its %s record could not be asked for: %s", what, fault.Escape(fault.Words(err)))
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
