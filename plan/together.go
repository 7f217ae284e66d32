package plan

import (
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// target is a folder of a destination.
type target struct {
	mailbox
	folder string
}

// findTogether notes which accounts bring their mail into one folder. Those that say
// different_user were looked at.
func findTogether(accounts []Account) {
	names := map[target][]string{}
	for _, a := range accounts {
		if !a.DifferentUser {
			names[a.target()] = append(names[a.target()], a.Name)
		}
	}
	for i := range accounts {
		a := &accounts[i]
		if all := names[a.target()]; len(all) > 1 && !a.DifferentUser {
			a.Together = all
		}
	}
}

func (a Account) target() target {
	return target{mailboxOf(a.Destination, destinationSide), a.Folder}
}

// Mixed tells of other accounts whose mail goes into the same folder, or returns "": two people
// may have one name at two providers, and nothing takes their mail apart again but undo.
func (a Account) Mixed() string {
	if len(a.Together) == 0 {
		return ""
	}
	const shown = 3
	text := strings.Join(a.Together[:min(len(a.Together), shown)], ", ")
	if rest := len(a.Together) - shown; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return fmt.Sprintf("the mail of %d accounts goes into one folder, %s of %s: %s", len(a.Together),
		fault.Escape(a.Folder), fault.Escape(a.Destination.Mailbox()), fault.Escape(text))
}
