package discover

import (
	"context"
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/wire"
)

// maxRecords bounds how many records of one kind are looked at.
const maxRecords = 4

// service is a name that SRV records have (RFC 6186 §3, RFC 8314 §5.1).
type service struct {
	name string
	tls  wire.TLSMode
}

// services are in the order of RFC 8314 §5.1: TLS from the first byte first.
var services = map[Protocol][]service{
	POP3: {{"pop3s", wire.Implicit}, {"pop3", wire.STARTTLS}},
	IMAP: {{"imaps", wire.Implicit}, {"imap", wire.STARTTLS}},
	SMTP: {{"submissions", wire.Implicit}, {"submission", wire.STARTTLS}},
}

func (s *search) srv(ctx context.Context) {
	for _, p := range s.open() {
		s.srvFor(ctx, p)
	}
}

func (s *search) srvFor(ctx context.Context, p Protocol) {
	var list []Server
	denied := false
	for _, service := range services[p] {
		_, records, err := s.Resolver.LookupSRV(ctx, service.name, "tcp", s.Domain+".")
		if len(records) == 0 && err != nil {
			s.lookupFailed("_"+service.name+"._tcp SRV", err)
		}
		for _, record := range records[:min(len(records), maxRecords)] {
			if record.Target == "." { // RFC 6186 §3.4: not offered
				denied = true
				continue
			}
			list = append(list, s.fromSRV(service, record.Target, int(record.Port)))
		}
	}
	s.take(ctx, p, list)
	if denied && len(list) == 0 {
		s.refused[p] = "its SRV record says that there is none"
	}
}

func (s *search) fromSRV(service service, target string, port int) Server {
	host := strings.TrimSuffix(target, ".")
	found := Server{Host: host, Port: port, TLS: service.tls, user: localPart + "@" + s.Domain,
		Origin: fmt.Sprintf("the SRV record _%s._tcp of %s", service.name, s.Domain)}
	if !inside(host, s.Domain) {
		// RFC 6186 §6: who can forge DNS could lead us anywhere.
		whose := ""
		if known, ok := provider.ByHost(host); ok {
			whose = ", at " + known.Name
		}
		found.Warnings = append(found.Warnings, fmt.Sprintf(
			"%s is outside of %s%s, and DNS can be forged: make sure that it is your provider's",
			fault.Escape(host), s.Domain, whose))
	}
	return found
}

// take uses the first of some servers that the network named which answers (RFC
// 2782, "Usage rules"), else the first that can't be reached now. A server's name has
// to be one, and its certificate has to fit.
func (s *search) take(ctx context.Context, p Protocol, list []Server) {
	var unseen *Server
	for _, found := range list {
		err := s.check(ctx, p, &found)
		switch {
		case err == nil:
			s.use(p, found)
			return
		case fault.CodeOf(err) != fault.Temporary:
			s.note("%s: %v", found.Origin, err)
		case unseen == nil:
			found.Warnings = append(found.Warnings, "not seen at work: "+err.Error())
			unseen = &found
		}
	}
	if unseen != nil {
		s.use(p, *unseen)
	}
}

// check looks at a server. At one for SMTP the mail program looks itself.
func (s *search) check(ctx context.Context, p Protocol, found *Server) error {
	name, err := hostName(found.Host)
	if err != nil || found.Port < 1 || found.Port > 65535 {
		return fault.New(fault.Config, "%q port %d can't be a server", fault.Escape(found.Host), found.Port).
			WithHint("tell the operator of the domain")
	}
	found.Host = name
	if p == SMTP {
		return nil
	}
	return s.probe(ctx, p, *found)
}

// use keeps a server. Where it is one of a known provider, that knows better what its
// users log in with than a record that does not say.
func (s *search) use(p Protocol, found Server) {
	if known, ok := provider.ByHost(found.Host); ok && s.Provider.ID == "" {
		s.Provider = known
	}
	address := localPart + "@" + s.Domain
	if its := serverOf(s.Provider, p); its != nil && its.Host == found.Host && found.user == address {
		found.user = s.Provider.User(*its, address)
	}
	s.servers[p] = found
}

func serverOf(by provider.Provider, p Protocol) *provider.Server {
	return map[Protocol]*provider.Server{POP3: by.POP3, IMAP: by.IMAP, SMTP: by.SMTP}[p]
}
