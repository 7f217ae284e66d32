package discover

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/popferry/popferry/internal/fault"
)

var errName = errors.New("not the name of a host")

// hostName checks a name that somebody else gave, and returns its ASCII form in
// lower case (RFC 5890 §2.3.2.1). An address of digits is none: no certificate
// would fit it.
func hostName(name string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || len(ascii) > 253 { // RFC 1035 §2.3.4
		return "", errName
	}
	labels := strings.Split(ascii, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notHostRune) ||
			strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "", errName
		}
	}
	if last := labels[len(labels)-1]; len(labels) < 2 || strings.Trim(last, "0123456789") == "" {
		return "", errName
	}
	return ascii, nil
}

func notHostRune(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}

// inside reports whether a host is a domain or below it.
func inside(host, domain string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// split cuts an address at its last "@".
func split(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return address, ""
	}
	return address[:at], address[at+1:]
}

// CheckAddress refuses what is no mail address.
func CheckAddress(address string) error {
	_, err := domainOf(address)
	return err
}

// CheckTarget refuses what mail can't go to: it is an address, or a domain.
func CheckTarget(to string) error {
	if strings.Contains(to, "@") {
		return CheckAddress(to)
	}
	if _, err := hostName(to); err != nil {
		return fault.New(fault.Usage, "%q is neither a mail address nor a domain", fault.Escape(to)).
			WithHint("it looks like alice@example.org, or like example.org")
	}
	return nil
}

// domainOf is the domain of an address. What only stands in a local part between quotes
// (RFC 5322 §3.2.3) is a list of addresses, or a slip.
func domainOf(address string) (string, error) {
	local, domain := split(address)
	domain, err := hostName(domain)
	if err != nil || address != clean(address) || !strings.HasPrefix(local, `"`) && strings.ContainsAny(local, "@,;:<>") {
		return "", fault.New(fault.Usage, "%q is no mail address", fault.Escape(address)).
			WithHint("an address looks like alice@example.org; several have blanks between them")
	}
	return domain, nil
}

// maxName bounds user names and addresses, in octets; RFC 5321 §4.5.3.1 allows 254.
const maxName = 320

// clean is a name as it may be used: printable, without blanks, not too long;
// anything else becomes the empty name.
func clean(name string) string {
	if len(name) > maxName || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}
