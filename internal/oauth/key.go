package oauth

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// serviceKey is the part of Google's key file that counts. Its token_uri does not: the
// configuration says where secrets go.
type serviceKey struct {
	Type       string `json:"type"`
	Email      string `json:"client_email"`
	ID         string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
}

// readKey reads the key of a service account. Its errors show nothing of it.
func readKey(o plan.OAuth) (serviceKey, error) {
	var key serviceKey
	text := []byte(o.Key.Reveal())
	if json.Unmarshal(text, &key) != nil || key.Type != "service_account" || key.Email == "" || !isRSA(key.PrivateKey) {
		return serviceKey{}, fault.New(fault.Config, "%s is not the key of a service account", o.KeyFile).
			WithHint("it has to be the JSON file that Google gives once, when the key is made; " +
				"it holds \"type\": \"service_account\" and a private key")
	}
	return key, nil
}

func isRSA(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, ok := key.(*rsa.PrivateKey)
	return err == nil && ok
}
