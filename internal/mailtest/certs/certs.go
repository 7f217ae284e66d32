// Package certs makes the certificates that servers in tests and in the demo show: a certificate
// authority of its own and one server certificate that it signed, in memory and in a millisecond.
//
// [New] makes a [Pair]. Its methods give both ends what they need: [Pair.Server] a TLS
// configuration that shows the certificate, [Pair.Client] one that trusts the authority and
// nothing else, and the PEM fields and [Pair.WriteFiles] the same for programs that read files.
// Two pairs never trust each other, which is how a test gets an unknown authority.
//
// The private keys protect nothing. They are never to be used outside tests and demonstrations.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Options says what the server certificate is to contain. The zero value suits a server on the
// loopback interface.
type Options struct {
	// Hosts are the names and addresses that the certificate is valid for. Default: localhost,
	// 127.0.0.1 and ::1.
	Hosts []string
	// NotBefore and NotAfter bound the validity. Defaults: 1 January 1999, so that the made-up
	// clock of a testing/synctest bubble (midnight of 2000) is inside, and ten years from now.
	NotBefore, NotAfter time.Time
}

// Pair is an authority and a server certificate signed by it. It is safe for concurrent use.
type Pair struct {
	// CAPEM is the authority's certificate, CertPEM the server's and KeyPEM the server's private
	// key (PKCS #8), each as one PEM block.
	CAPEM, CertPEM, KeyPEM []byte

	certificate tls.Certificate
	pool        *x509.CertPool
	authority   *authority
}

// New makes an authority and a server certificate. It fails only if the system's source of
// randomness does.
func New(o Options) (*Pair, error) {
	o = o.withDefaults()
	authority, err := newAuthority(o)
	if err != nil {
		return nil, fmt.Errorf("make test authority: %w", err)
	}
	pair, err := authority.issue(o)
	if err != nil {
		return nil, fmt.Errorf("make test certificate: %w", err)
	}
	return pair, nil
}

func (o Options) withDefaults() Options {
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = time.Date(1999, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = time.Now().AddDate(10, 0, 0)
	}
	return o
}

// Server returns a configuration that shows the server certificate.
func (p *Pair) Server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{p.certificate},
		MinVersion:   tls.VersionTLS12,
	}
}

// Client returns a configuration that trusts this pair's authority only. ServerName is left to
// the caller (tls.Dial fills it in from the address).
func (p *Pair) Client() *tls.Config {
	return &tls.Config{RootCAs: p.pool, MinVersion: tls.VersionTLS12}
}

// ForUser makes a certificate of the same authority that a client can log in with, and its
// private key, each as one PEM block. The user is its common name.
func (p *Pair) ForUser(user string, from, until time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := newTemplate(user, from, until)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	leaf, err := sign(template, p.authority.certificate, key.Public(), p.authority.key)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", leaf.Raw), encode("PRIVATE KEY", der), nil
}

// User makes a certificate of the same authority for a client, good from yesterday for a year.
func (p *Pair) User(name string) (*tls.Certificate, error) {
	cert, key, err := p.ForUser(name, time.Now().AddDate(0, 0, -1), time.Now().AddDate(1, 0, 0))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return &pair, err
}

// Listen accepts connections on a free port of 127.0.0.1 until the listener is closed, asks
// clients for a certificate, as far as change leaves it at that, and has each served.
func (p *Pair) Listen(change func(*tls.Config), serve func(*tls.Conn)) (net.Listener, error) {
	config := p.Server()
	config.ClientAuth = tls.RequestClientCert
	change(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*tls.Conn))
		}
	}()
	return listener, nil
}

// Pin returns the SHA-256 of the server certificate's SubjectPublicKeyInfo, in lower-case hex.
func (p *Pair) Pin() string {
	sum := sha256.Sum256(p.certificate.Leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Files names what [Pair.WriteFiles] wrote.
type Files struct{ CA, Cert, Key string }

// WriteFiles writes ca.pem, cert.pem and key.pem (mode 0600) into dir, which has to exist.
func (p *Pair) WriteFiles(dir string) (Files, error) {
	files := Files{
		CA:   filepath.Join(dir, "ca.pem"),
		Cert: filepath.Join(dir, "cert.pem"),
		Key:  filepath.Join(dir, "key.pem"),
	}
	for path, data := range map[string][]byte{
		files.CA: p.CAPEM, files.Cert: p.CertPEM, files.Key: p.KeyPEM,
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return Files{}, fmt.Errorf("write test certificate: %w", err)
		}
	}
	return files, nil
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(o Options) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate("popferry test authority",
		o.NotBefore.AddDate(-1, 0, 0), o.NotAfter.AddDate(1, 0, 0))
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: certificate, key: key}, nil
}

func (a *authority) issue(o Options) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(o.Hosts[0], o.NotBefore, o.NotAfter)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range o.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf, err := sign(template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return a.pair(leaf, key)
}

func (a *authority) pair(leaf *x509.Certificate, key *ecdsa.PrivateKey) (*Pair, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &Pair{
		CAPEM:   encode("CERTIFICATE", a.certificate.Raw),
		CertPEM: encode("CERTIFICATE", leaf.Raw),
		KeyPEM:  encode("PRIVATE KEY", der),
		certificate: tls.Certificate{
			Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf,
		},
		pool:      pool,
		authority: a,
	}, nil
}

func newTemplate(name string, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"popferry tests"}},
		NotBefore:    from,
		NotAfter:     until,
	}, nil
}

// sign makes the certificate that template describes, for the holder of public.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey,
) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
