package sasl

import "strings"

// maxMessageID bounds the challenges that have the form of a Message-ID.
const maxMessageID = 512

// IsMessageID reports whether a challenge of APOP or CRAM-MD5 has the form that both
// documents demand (RFC 1939 §7, RFC 2195 §2: a msg-id of RFC 822). An attacker who
// may choose it freely finds two that MD5 can't tell apart, and with them the
// password, byte by byte (CVE-2007-1558); such pairs have other characters.
func IsMessageID(challenge string) bool {
	inside, ok := strings.CutPrefix(challenge, "<")
	if !ok || len(challenge) > maxMessageID {
		return false
	}
	inside, ok = strings.CutSuffix(inside, ">")
	local, domain, at := strings.Cut(inside, "@")
	return ok && at && local != "" && domain != "" && !strings.ContainsAny(inside, `<>()\,;:" `) &&
		!strings.Contains(domain, "@") && isASCII(inside)
}
