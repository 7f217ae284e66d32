package provider

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
)

//go:embed data/*.json
var data embed.FS

// table is all providers, by what they are looked up with.
type table struct {
	all                []Provider
	domains, hosts, mx map[string]*Provider
}

// index reads the table at its first use. Tests read it too, so it is sound.
var index = sync.OnceValue(func() *table {
	t, err := readTable()
	if err != nil {
		panic(err)
	}
	return t
})

// ByDomain finds the provider that a domain of mail addresses belongs to.
func ByDomain(domain string) (Provider, bool) {
	domain = clean(domain)
	_, parent, _ := strings.Cut(domain, ".")
	return found(cmp.Or(index().domains[domain], index().domains["*."+parent]))
}

// ByHost finds the provider that a server belongs to.
func ByHost(host string) (Provider, bool) { return found(above(index().hosts, host)) }

// ByMX finds the provider that takes the mail for a domain, by the name in its MX
// record.
func ByMX(host string) (Provider, bool) { return found(above(index().mx, host)) }

// above looks a name up, and then the names above it.
func above(names map[string]*Provider, host string) *Provider {
	for host = clean(host); host != ""; _, host, _ = strings.Cut(host, ".") {
		if p := names[host]; p != nil {
			return p
		}
	}
	return nil
}

// clean is the one form of a name: a dot at its end and its case mean nothing.
func clean(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func found(p *Provider) (Provider, bool) {
	if p == nil {
		return Provider{}, false
	}
	return *p, true
}

func readTable() (*table, error) {
	files, err := data.ReadDir("data")
	if err != nil {
		return nil, err
	}
	t := &table{all: make([]Provider, len(files)), domains: map[string]*Provider{},
		hosts: map[string]*Provider{}, mx: map[string]*Provider{}}
	for i, file := range files {
		text, err := data.ReadFile(path.Join("data", file.Name()))
		if err != nil {
			return nil, err
		}
		p := &t.all[i]
		if *p, err = decode(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		p.ID = strings.TrimSuffix(file.Name(), ".json")
		if err := t.add(p); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// decode reads one file strictly: no unknown key, nothing behind the end.
func decode(text string) (p Provider, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	if _, err := d.Token(); err != io.EOF {
		return p, fmt.Errorf("more than one value")
	}
	return p, nil
}

func (t *table) add(p *Provider) error {
	for _, part := range []struct {
		names map[string]*Provider
		keys  []string
	}{{t.domains, p.Domains}, {t.hosts, p.Hosts}, {t.mx, p.MX}} {
		for _, key := range part.keys {
			if other := part.names[key]; other != nil {
				return fmt.Errorf("%s: %q is %s's", p.ID, key, other.ID)
			}
			part.names[key] = p
		}
	}
	return nil
}
