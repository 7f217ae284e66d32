package bridge

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
)

// maxMemory bounds the file of a [Memory], in octets.
const maxMemory = 16 << 20

// Memory keeps a text for each account in a file, for a [Newsroom].
type Memory struct {
	// Path is the file, Write replaces it.
	Path  string
	Write func(path string, data []byte) error
	// Failed is told when it could not be written; then news may come twice, or never, after
	// a restart, unless Flush succeeds before that.
	Failed func(error)

	mu        sync.Mutex
	texts     map[string]string
	unwritten bool // as the file is, since the last Write failed
}

// Load returns the text of an account, or "".
func (m *Memory) Load(account string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read()
	return m.texts[account]
}

// Save replaces the text of an account.
func (m *Memory) Save(account, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read()
	m.texts[account] = text
	m.writeLocked()
}

// Forget drops the texts of all accounts but some.
func (m *Memory) Forget(but []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read()
	before := len(m.texts)
	maps.DeleteFunc(m.texts, func(account, _ string) bool { return !slices.Contains(but, account) })
	if len(m.texts) < before {
		m.writeLocked()
	}
}

// Flush tries again what could not be written: nothing new may have to be for long.
func (m *Memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unwritten {
		m.writeLocked()
	}
}

func (m *Memory) writeLocked() {
	data, err := json.Marshal(m.texts)
	if err == nil {
		err = m.Write(m.Path, data)
	}
	if m.unwritten = err != nil; m.unwritten {
		m.Failed(err)
	}
}

func (m *Memory) read() {
	if m.texts != nil {
		return
	}
	m.texts = map[string]string{}
	info, err := os.Stat(m.Path)
	if err != nil || info.Size() > maxMemory {
		return
	}
	data, err := os.ReadFile(m.Path)
	// What can't be read is not known.
	if errors.Join(err, json.Unmarshal(data, &m.texts)) != nil || m.texts == nil { // nil: it says null
		m.texts = map[string]string{}
	}
}
