package plan

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// What may be wrong with a host. The texts never repeat it.
var (
	errHostURL     = errors.New("must be a host name alone: no scheme, path or user name")
	errHostPort    = errors.New("must be a host name alone; the port belongs into port")
	errHostAddress = errors.New("is not a valid IP address")
	errHostName    = errors.New(`must be a host name such as "mail.example.org", or an IP address`)
)

// parseHost returns the form of a host to dial: addresses without brackets, names
// in lower case with international labels in their ASCII form (RFC 5890
// §2.3.2.1). A trailing dot is kept; it makes a name absolute.
func parseHost(s string) (string, error) {
	if strings.ContainsAny(s, "/@") {
		return "", errHostURL
	}
	bare := s
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", errHostPort
		}
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		return addr.String(), nil
	}
	switch colons := strings.Count(bare, ":"); {
	case colons == 1:
		return "", errHostPort
	case colons > 1 || bare != s:
		return "", errHostAddress
	}
	return parseName(s)
}

func parseName(s string) (string, error) {
	name, dot := strings.CutSuffix(s, ".")
	labels := strings.Split(name, ".")
	for i, label := range labels {
		ascii, ok := asciiLabel(label)
		if !ok {
			return "", errHostName
		}
		labels[i] = ascii
	}
	name = strings.Join(labels, ".")
	if len(name) > 253 { // RFC 1035 §2.3.4
		return "", errHostName
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "", errHostAddress // no top-level domain is a number
	}
	if dot {
		name += "."
	}
	return name, nil
}

// asciiLabel checks one label of a name (RFC 1123 §2.1; "_" occurs in private
// names) and encodes it if it is international (RFC 5891 §5).
func asciiLabel(label string) (string, bool) {
	if isASCII(label) {
		label = strings.ToLower(label)
	} else {
		ascii, err := idna.Lookup.ToASCII(label)
		if err != nil {
			return "", false
		}
		label = ascii
	}
	if strings.ContainsFunc(label, notHostRune) ||
		strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
		return "", false
	}
	return label, label != "" && len(label) <= 63
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func notHostRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}
