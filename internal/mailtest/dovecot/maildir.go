package dovecot

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// File is one message as it lies in a Maildir.
type File struct {
	// Name is the file's name without the flags. It is unique and never changes.
	Name string
	// Raw is the content of the file. The server is set up to store what IMAP appended with
	// CRLF, not with LF.
	Raw []byte
	// InternalDate is the file's modification time, which Dovecot gives as INTERNALDATE.
	InternalDate time.Time
	// Flags are the system flags: \Answered, \Deleted, \Draft, \Flagged, \Seen, in this order.
	Flags []string
	// UID is the message's UID, 0 as long as Dovecot has not given it one.
	UID uint32
}

// delivered makes the names of delivered files differ and sort by age.
var delivered atomic.Int64

// Deliver puts raw, byte by byte, into the POP3 maildrop of a user. Sessions that are open do not
// see it (RFC 1939 §3).
func (s *Server) Deliver(user string, raw []byte) error {
	if err := checkWord("user", user); err != nil {
		return err
	}
	return s.deliver(s.pop3Dir(user), raw)
}

// DeliverTo puts raw into an IMAP folder of a user, which is made if it does not exist.
func (s *Server) DeliverTo(user, folder string, raw []byte) error {
	if err := checkWord("user", user); err != nil {
		return err
	}
	return s.deliver(s.imapDir(user, folder), raw)
}

// Maildrop reads the messages of a user's POP3 maildrop, oldest first.
func (s *Server) Maildrop(user string) ([]File, error) {
	return readMaildir(s.pop3Dir(user))
}

// Messages reads the messages of a user's IMAP folder, by UID, those without one last. The
// levels of a folder's name are separated by "/" and there is no prefix, whatever the server's
// namespace looks like; a name beyond ASCII has to be given in modified UTF-7 (RFC 3501 §5.1.3).
// A folder that does not exist has no messages.
func (s *Server) Messages(user, folder string) ([]File, error) {
	return readMaildir(s.imapDir(user, folder))
}

// UIDValidity returns the UIDVALIDITY of a user's IMAP folder, 0 if it has none yet.
func (s *Server) UIDValidity(user, folder string) (uint32, error) {
	list, err := readUIDList(s.imapDir(user, folder))
	return list.validity, err
}

func (s *Server) pop3Dir(user string) string { return filepath.Join(s.Dir, s.pop3Store(), user) }

// pop3Store is the directory of the mail that POP3 shows.
func (s *Server) pop3Store() string {
	if s.options.OneStore {
		return "imap"
	}
	return "pop3"
}

// imapDir returns the directory of a folder: in a Maildir++ all folders lie side by side, their
// levels separated by dots.
func (s *Server) imapDir(user, folder string) string {
	root := filepath.Join(s.Dir, "imap", user)
	if strings.EqualFold(folder, "INBOX") {
		return root
	}
	return filepath.Join(root, "."+strings.ReplaceAll(folder, "/", "."))
}

// deliver writes a file into tmp and moves it into new, so that Dovecot never sees half of it.
func (s *Server) deliver(dir string, raw []byte) error {
	for _, name := range []string{"tmp", "new", "cur"} {
		if err := s.runner.mkdir(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("deliver into %s: %w", dir, err)
		}
	}
	name := fmt.Sprintf("%d.T%09d.example", time.Now().UnixNano(), delivered.Add(1))
	path := filepath.Join(dir, "tmp", name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("deliver into %s: %w", dir, err)
	}
	if err := s.runner.give(path); err != nil {
		return fmt.Errorf("deliver into %s: %w", dir, err)
	}
	if err := os.Rename(path, filepath.Join(dir, "new", name)); err != nil {
		return fmt.Errorf("deliver into %s: %w", dir, err)
	}
	return nil
}

// readMaildir reads until it has seen the directories unchanged: a server at work moves files
// from new to cur, renames them when flags change and removes them.
func readMaildir(dir string) ([]File, error) {
	const limit = 100
	for range limit {
		files, err := readMaildirOnce(dir)
		if err == nil {
			return files, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read maildir: %w", err)
		}
	}
	return nil, fmt.Errorf("read maildir %s: it never stands still", dir)
}

func readMaildirOnce(dir string) ([]File, error) {
	list, err := readUIDList(dir)
	if err != nil {
		return nil, err
	}
	before, err := listMaildir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, path := range before {
		file, err := readFile(path)
		if err != nil {
			return nil, err
		}
		file.UID = list.uids[file.Name]
		files = append(files, file)
	}
	after, err := listMaildir(dir)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(before, after) {
		return nil, fs.ErrNotExist
	}
	slices.SortStableFunc(files, func(a, b File) int {
		// A missing UID sorts last: 0 - 1 is the largest number.
		return cmp.Or(cmp.Compare(a.UID-1, b.UID-1), strings.Compare(a.Name, b.Name))
	})
	return files, nil
}

// listMaildir returns the paths of all messages of a Maildir, none if there is no such directory.
func listMaildir(dir string) ([]string, error) {
	var paths []string
	for _, name := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			paths = append(paths, filepath.Join(dir, name, entry.Name()))
		}
	}
	return paths, nil
}

func readFile(path string) (File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return File{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	name, letters, _ := strings.Cut(filepath.Base(path), ":2,")
	return File{Name: name, Raw: raw, InternalDate: info.ModTime(), Flags: flags(letters)}, nil
}

// flags translates the letters of a Maildir file name.
func flags(letters string) []string {
	var flags []string
	for _, flag := range []struct{ letter, name string }{
		{"R", `\Answered`}, {"T", `\Deleted`}, {"D", `\Draft`}, {"F", `\Flagged`}, {"S", `\Seen`},
	} {
		if strings.Contains(letters, flag.letter) {
			flags = append(flags, flag.name)
		}
	}
	return flags
}

// uidList is Dovecot's record of which file has which UID.
type uidList struct {
	validity uint32
	uids     map[string]uint32
}

// readUIDList reads the file dovecot-uidlist: a header of words, of which V<number> is the
// UIDVALIDITY, then lines "<uid> [<extension>...] :<file name>".
func readUIDList(dir string) (uidList, error) {
	list := uidList{uids: map[string]uint32{}}
	data, err := os.ReadFile(filepath.Join(dir, "dovecot-uidlist"))
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	if err != nil {
		return list, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	if lines.Scan() {
		for _, word := range strings.Fields(lines.Text()) {
			if number, ok := strings.CutPrefix(word, "V"); ok {
				list.validity = parseUID(number)
			}
		}
	}
	for lines.Scan() {
		words, name, _ := strings.Cut(lines.Text(), " :")
		number, _, _ := strings.Cut(words, " ")
		name, _, _ = strings.Cut(name, ":2,")
		list.uids[name] = parseUID(number)
	}
	return list, lines.Err()
}

// parseUID returns 0 for text that is no UID.
func parseUID(text string) uint32 {
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(number)
}
