package imapdst

import (
	"slices"
	"strings"
	"sync"

	"github.com/popferry/popferry/internal/fault"
)

// maxNotices bounds what a server may tell people on one connection.
const maxNotices = 10

// notices are what a server wants people to know beside its answers: the text of
// an ALERT has to be shown (RFC 3501 §7.1), and OVERQUOTA without a refusal is a
// warning (RFC 5530 §3).
type notices struct {
	mu    sync.Mutex
	texts []string
}

// hear takes a status response that is not the reason of an error: those are
// shown with it.
func (n *notices) hear(address string, s status) {
	if s.code != "ALERT" && s.code != "OVERQUOTA" {
		return
	}
	text := address + " says: " + fault.Escape(strings.TrimSpace("["+s.code+"] "+s.text))
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.texts) < maxNotices && !slices.Contains(n.texts, text) {
		n.texts = append(n.texts, text)
	}
}

// Notices returns what the server wanted people to know so far, fit to be shown.
func (c *Conn) Notices() []string {
	c.guard.notices.mu.Lock()
	defer c.guard.notices.mu.Unlock()
	return slices.Clone(c.guard.notices.texts)
}
