package plan

import (
	"fmt"
	"maps"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// Crowded warns where the folders that mail may go to are more than the smallest account of
// a destination's provider may have, or deeper. Nobody knows before a run whether it is one
// of these, and how many folders it has already.
func (a Account) Crowded(w Ways) (list []string) {
	folders, deepest := a.ownFolders()
	whose, n := "mail", len(folders)
	if a.Shared > n {
		whose, n = "the mail of all accounts with this destination", a.Shared
	}
	if w.Folders > 0 && n > w.Folders {
		list = append(list, fmt.Sprintf("%s may go to %d folders, with those that they are in, "+
			"and the smallest account at %s has %d of its own at most", whose, n, w.Provider, w.Folders))
	}
	if depth := levels(deepest); w.FolderDepth > 0 && depth > w.FolderDepth {
		list = append(list, fmt.Sprintf("folder %s has %d levels, and the smallest account at %s has %d at most",
			fault.Escape(deepest), depth, w.Provider, w.FolderDepth))
	}
	return list
}

// countShared notes what accounts with one destination fill together.
func countShared(accounts []Account) {
	of := map[mailbox][]int{}
	for i, a := range accounts {
		m := mailboxOf(a.Destination, destinationSide)
		of[m] = append(of[m], i)
	}
	for _, those := range of {
		if len(those) == 1 {
			continue
		}
		all := map[string]bool{}
		for _, i := range those {
			folders, _ := accounts[i].ownFolders()
			maps.Copy(all, folders)
		}
		for _, i := range those {
			accounts[i].Shared = len(all)
		}
	}
}

// ownFolders are the folders that mail may go to and those that they are in, and the one of
// them with the most levels. INBOX and the folders of a use are the server's. One with a date
// counts once, whatever it becomes.
func (a Account) ownFolders() (folders map[string]bool, deepest string) {
	folders = map[string]bool{}
	names := []string{a.Folder}
	for _, r := range a.Routes {
		names = append(names, r.Folder)
	}
	for _, name := range names {
		if levels(name) > levels(deepest) {
			deepest = name
		}
		for ; name != defaultFolder && name != "" && !isUse(name); name = above(name) {
			folders[name] = true
		}
	}
	return folders, deepest
}

func levels(name string) int { return len(strings.Split(name, "/")) }

// above is the folder that a folder is in, or "".
func above(name string) string { return name[:max(0, strings.LastIndexByte(name, '/'))] }

// isUse reports a folder that is named by its use alone (RFC 6154 §2).
func isUse(name string) bool { return strings.HasPrefix(name, `\`) && levels(name) == 1 }
