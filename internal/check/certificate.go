package check

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const day = 24 * time.Hour

// soon is how many days before its end a certificate is warned of; caSoon is that
// of an authority, whose successor has to be brought to every machine by hand.
const (
	soon   = 14
	caSoon = 30
)

// maxNames bounds how many names of a certificate are told.
const maxNames = 10

// describeTLS tells what a handshake agreed on, nil for clear text.
func describeTLS(state func() (tls.ConnectionState, bool), now time.Time) *TLS {
	s, ok := state()
	if !ok || len(s.PeerCertificates) == 0 {
		return nil
	}
	return &TLS{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite),
		Certificate: describeCertificate(s.PeerCertificates[0], now)}
}

func describeCertificate(cert *x509.Certificate, now time.Time) Certificate {
	c := Certificate{Names: []string{}, Issuer: fault.Escape(cert.Issuer.String()), NotAfter: cert.NotAfter.UTC(),
		Days: daysLeft(cert.NotAfter, now)}
	for _, name := range cert.DNSNames[:min(len(cert.DNSNames), maxNames)] {
		c.Names = append(c.Names, fault.Escape(name))
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	c.Pin = "sha256:" + hex.EncodeToString(sum[:])
	return c
}

func daysLeft(end, now time.Time) int { return int(math.Floor(float64(end.Sub(now)) / float64(day))) }
