package report

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/popferry/popferry/internal/message"
)

// HeldFolder keeps held messages as files, for a person to import by hand.
type HeldFolder struct{ dir string }

// NewHeldFolder makes the folder, for its owner only, unless it is there, and sees
// that files can be made in it. Errors have the code [fault.State].
func NewHeldFolder(dir string) (HeldFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return HeldFolder{}, fileError(dir, err)
	}
	return HeldFolder{dir}, writable(filepath.Join(dir, "x.eml"))
}

// Keep writes a message as it was received, unless the folder has it, and returns
// the name of its file: the account and the content digest, nothing that a server
// chose. Several goroutines may call it.
func (h HeldFolder) Keep(account string, m *message.Message) (string, error) {
	path := filepath.Join(h.dir, FileName(account)+"-"+m.Content.String()+".eml")
	if there, err := os.Lstat(path); err == nil && there.Mode().IsRegular() && there.Size() == m.Raw {
		return path, nil
	}
	return path, WriteFile(path, func(w io.Writer) error {
		_, err := m.WriteOriginal(w)
		return err
	})
}

// maxAccountPart bounds the part of a file name that the account makes: with a
// digest behind it, it has to fit into 255 octets.
const maxAccountPart = 120

// FileName makes the name of an account a part of a file name. Two accounts never
// get the same one: octets that are no plain letters are written in hex, and of a
// long name there is the digest.
func FileName(account string) string {
	var b strings.Builder
	for i := range len(account) {
		c := account[i]
		if plain(c) || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if name := b.String(); len(name) <= maxAccountPart {
		return name
	}
	return fmt.Sprintf("%%%x", sha256.Sum256([]byte(account)))
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("@_-+", c) >= 0
}
