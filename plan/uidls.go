package plan

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxUIDLs bounds a file of UIDLs, in octets.
const maxUIDLs = 256 << 20

// ByGetmail stands behind a UIDL in a file of them if getmail wrote it: where the server
// has "/", getmail remembers "-".
const ByGetmail = " getmail"

// UIDLs is a set of UIDLs, sorted, each as a line of a file has it.
type UIDLs []string

// NewUIDLs makes a set.
func NewUIDLs(list ...string) UIDLs {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// Has reports whether the UIDL of a message is in the set.
func (u UIDLs) Has(uidl string) bool {
	return u.holds(uidl) || u.holds(strings.ReplaceAll(uidl, "/", "-")+ByGetmail)
}

func (u UIDLs) holds(line string) bool {
	_, found := slices.BinarySearch(u, line)
	return found
}

// readUIDLs reads a file with a UIDL a line.
func readUIDLs(path string) (UIDLs, error) {
	file, err := openPrompt(path)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %s; a relative path counts from the folder of accounts.yaml", reason(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxUIDLs+1))
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %s; it must be a file with one UIDL a line", reason(err))
	}
	if len(data) > maxUIDLs {
		return nil, fmt.Errorf("the file is larger than %d MB; it must hold one UIDL a line", maxUIDLs>>20)
	}
	return parseUIDLs(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

// parseUIDLs refuses a line that no message can have as its UIDL: of a file in another
// format nothing would be found, and all mail be copied again.
func parseUIDLs(data []byte) (UIDLs, error) {
	var list []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxUIDL+len(ByGetmail)+2)
	number := 1
	for ; lines.Scan(); number++ {
		line := lines.Text()
		switch {
		case line == "":
		case !UsableUIDL(line):
			return nil, fmt.Errorf("line %d of the file is no UIDL; it must hold one UIDL a line, nothing else: "+
				"popferry import --seen makes such a file of what fetchmail, getmail or mpop remembers", number)
		default:
			list = append(list, line)
		}
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("line %d of the file is longer than %d bytes; it must hold one UIDL a line", number, maxUIDL)
	}
	return NewUIDLs(list...), nil
}

// UsableUIDL reports whether a message can have this UIDL, with or without [ByGetmail]
// behind it, and a file of them hold it.
func UsableUIDL(uidl string) bool { return usable(strings.TrimSuffix(uidl, ByGetmail)) }
