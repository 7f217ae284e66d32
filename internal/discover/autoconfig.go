package discover

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

const (
	// maxConfig bounds an autoconfiguration, in octets.
	maxConfig = 1 << 20
	// maxHops bounds redirects.
	maxHops = 3
	// fetchTime bounds a request.
	fetchTime = 10 * time.Second
)

var (
	errNone   = errors.New("there is none")
	errScheme = errors.New("leads to plain http")
	errHops   = errors.New("leads from one address to the next")
	errSize   = fmt.Errorf("is larger than %d MiB", maxConfig>>20)
)

// autoconfig asks where Mozilla's mail programs ask: the domain itself, then the
// database. Only the domain is told the address.
func (s *search) autoconfig(ctx context.Context) {
	for _, from := range s.places() {
		if len(s.open()) == 0 {
			return
		}
		config, err := s.fetch(ctx, from)
		switch {
		case errors.Is(err, errNone), isNotFound(err):
			continue
		case err != nil:
			s.note("no autoconfiguration from %s: %s", from.Host, fault.Escape(fault.Words(err)))
			continue
		}
		for _, p := range s.open() {
			s.fromConfig(ctx, p, config, from)
		}
	}
}

func (s *search) places() []*url.URL {
	query := url.Values{"emailaddress": {s.address}}.Encode()
	schemes := []string{"https"}
	if s.AllowHTTP {
		schemes = append(schemes, "http")
	}
	var list []*url.URL
	for _, scheme := range schemes {
		list = append(list,
			&url.URL{Scheme: scheme, Host: "autoconfig." + s.Domain, Path: "/mail/config-v1.1.xml",
				RawQuery: query},
			&url.URL{Scheme: scheme, Host: s.Domain, Path: "/.well-known/autoconfig/mail/config-v1.1.xml"})
	}
	if s.Database != nil {
		list = append(list, s.Database.JoinPath(s.Domain))
	}
	return list
}

// clientConfig is the part of an autoconfiguration that is of use.
type clientConfig struct {
	Provider struct {
		Incoming []configServer `xml:"incomingServer"`
		Outgoing []configServer `xml:"outgoingServer"`
	} `xml:"emailProvider"`
}

type configServer struct {
	Type     string `xml:"type,attr"`
	Hostname string `xml:"hostname"`
	Port     int    `xml:"port"`
	Socket   string `xml:"socketType"`
	Username string `xml:"username"`
}

func (s *search) fetch(ctx context.Context, from *url.URL) (config clientConfig, err error) {
	client := &http.Client{Transport: s.Transport, Timeout: fetchTime, CheckRedirect: s.redirect}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return config, err
	}
	request.Header.Set("User-Agent", "popferry")
	response, err := client.Do(request)
	if err != nil {
		return config, plainCause(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return config, errNone
	default:
		return config, fmt.Errorf("the answer is %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxConfig+1))
	if err != nil {
		return config, err
	}
	if len(text) > maxConfig {
		return config, errSize
	}
	return parseConfig(text)
}

// plainCause drops the address that net/http puts before each error: it holds the
// mail address.
func plainCause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// redirect follows a few redirects, and none to where anybody could change the
// answer.
func (s *search) redirect(to *http.Request, via []*http.Request) error {
	switch {
	case to.URL.Scheme != "https" && !s.AllowHTTP:
		return errScheme
	case len(via) > maxHops:
		return errHops
	}
	return nil
}

// parseConfig reads an autoconfiguration. The decoder knows no entities but XML's
// five, and reads nothing from elsewhere.
func parseConfig(text []byte) (config clientConfig, err error) {
	var root struct {
		XMLName xml.Name `xml:"clientConfig"`
		clientConfig
	}
	err = xml.Unmarshal(text, &root)
	return root.clientConfig, err
}

// modes are the words of an autoconfiguration for what is safe, the better first;
// servers with another word are not used.
var modes = []struct {
	word string
	mode wire.TLSMode
}{{"SSL", wire.Implicit}, {"STARTTLS", wire.STARTTLS}}

// fromConfig takes a server for a protocol.
func (s *search) fromConfig(ctx context.Context, p Protocol, config clientConfig, from *url.URL) {
	servers := config.Provider.Incoming
	if p == SMTP {
		servers = config.Provider.Outgoing
	}
	servers = servers[:min(len(servers), 4*maxRecords)]
	var list []Server
	for _, m := range modes {
		for _, c := range servers {
			if strings.EqualFold(c.Type, string(p)) && c.Socket == m.word {
				list = append(list, s.configured(c, m.mode, from))
			}
		}
	}
	s.take(ctx, p, list)
}

func (s *search) configured(c configServer, mode wire.TLSMode, from *url.URL) Server {
	fill := strings.NewReplacer("%EMAILADDRESS%", localPart+"@"+s.Domain, "%EMAILDOMAIN%", s.Domain)
	found := Server{Host: fill.Replace(strings.TrimSpace(c.Hostname)), Port: c.Port, TLS: mode,
		user:   clean(fill.Replace(strings.TrimSpace(c.Username))),
		Origin: "the autoconfiguration at " + from.Host}
	if found.user == "" {
		found.user = localPart + "@" + s.Domain
	}
	if from.Scheme != "https" {
		found.Warnings = append(found.Warnings,
			"it came over plain http, where anybody on the way can change it: make sure that it is right")
	}
	return found
}
