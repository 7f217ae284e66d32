package oauthd

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"time"
)

// claims are those of RFC 7523 §3, as Google uses them.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Scope    string `json:"scope"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// redeemAssertion verifies the signature with the public key, and what is signed.
func (p *Provider) redeemAssertion(w http.ResponseWriter, assertion string) {
	c, ok := p.verify(assertion)
	now := time.Now().Unix()
	switch {
	case !ok || c.Issuer != p.options.Email || c.Audience != p.URL+"/token":
		refuse(w, "invalid_grant", "the signature or the issuer is wrong")
	case c.Expires <= now || c.Expires > c.IssuedAt+3600 || c.IssuedAt > now+300:
		refuse(w, "invalid_grant", "the assertion is not of now")
	case !p.allowed(c.Scope):
		refuse(w, "unauthorized_client", "not authorized for the scope")
	case !slices.Contains(p.options.Users, c.Subject):
		refuse(w, "invalid_grant", "no such user")
	default:
		p.grant(w, c.Subject, c.Scope, "")
	}
}

func (p *Provider) verify(assertion string) (c claims, ok bool) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || p.options.Key == nil {
		return c, false
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return c, false
		}
	}
	var header struct{ Alg string }
	if json.Unmarshal(decoded[0], &header) != nil || header.Alg != "RS256" || json.Unmarshal(decoded[1], &c) != nil {
		return c, false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return c, rsa.VerifyPKCS1v15(p.options.Key, crypto.SHA256, sum[:], decoded[2]) == nil
}

// NewKey makes a service account's key file, in Google's form, and its public key.
func NewKey(email string) (file []byte, public *rsa.PublicKey, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	file, err = json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		// Somebody else's: who has the file does not say where secrets go.
		"token_uri": "https://thief.example/token",
	})
	return file, &key.PublicKey, err
}
