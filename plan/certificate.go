package plan

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

// maxCertificate bounds a file of certificates, in octets.
const maxCertificate = 1 << 20

// loadCertificate makes the certificate of an endpoint out of its file and the key,
// which was read with the other secrets.
func (e *Endpoint) loadCertificate(now time.Time) error {
	if e.CertFile == "" {
		return nil
	}
	chain, err := readCertificate(e.CertFile)
	if err != nil {
		return err
	}
	name := "certificate file " + fault.Escape(e.CertFile)
	pair, err := tls.X509KeyPair(chain, []byte(e.key.Reveal()))
	if err != nil { // of the key it shows nothing
		return fmt.Errorf("%s and %s do not work together: %s; both must be PEM, the key without a passphrase",
			name, e.KeyFile, fault.Escape(err.Error()))
	}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%s expired on %s; renew it, or check this machine's clock", name,
			leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%s is valid from %s only; check this machine's clock", name,
			leaf.NotBefore.UTC().Format(time.DateOnly))
	}
	e.Certificate = &pair
	return nil
}

// ByCertificate reports that the certificate is all there is to log in with, and
// BesideCertificate that there is something else, too.
func (e Endpoint) ByCertificate() bool {
	return e.Certificate != nil && (e.Auth == external || e.Auth == "auto" && !e.BesideCertificate())
}

// BesideCertificate reports that there is a certificate, and if that is refused something else.
func (e Endpoint) BesideCertificate() bool {
	return e.Certificate != nil && e.Auth == "auto" && (!e.Secret.Empty() || e.OAuth != nil)
}

// CertificateMark tells equal certificates from others.
func (e Endpoint) CertificateMark() [sha256.Size]byte {
	if e.Certificate == nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(bytes.Join(e.Certificate.Certificate, nil))
}

func readCertificate(path string) ([]byte, error) {
	name := "certificate file " + fault.Escape(path)
	file, err := openPrompt(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %s; a relative path counts from the folder of accounts.yaml", name,
			reason(err))
	}
	defer file.Close()
	// A pipe may stay silent; a regular file takes no deadline and needs none.
	if err := file.SetReadDeadline(time.Now().Add(commandTime)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, fmt.Errorf("%s cannot be read: %s; it must be a file", name, reason(err))
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCertificate))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %s; it must be a file", name, reason(err))
	}
	return data, nil
}
