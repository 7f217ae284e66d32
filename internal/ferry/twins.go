package ferry

import (
	"fmt"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
)

// atHand notes where the destination has what a record is about. Only one that names all
// octets of its message can vouch for another.
func (v *verifyAccount) atHand(r journal.Record, folder string, uid uint32) {
	if !r.Sum.Content.IsZero() {
		v.octets[r.Sum.Content] = fmt.Sprintf("%s uid %d", fault.Escape(folder), uid)
	}
}

// dropped leaves out strays whose octets the destination has as another record's mail, where
// its provider is known to say OK to mail that it has, and to keep no second copy. A new
// delivery could change nothing about that, and no octet is missing.
func (v *verifyAccount) dropped(strays []journal.Record) (still []journal.Record) {
	if known := v.t.account.Destination.Ways; known.DropsCopies {
		for _, r := range strays {
			if twin, there := v.octets[r.Sum.Content]; there {
				v.drop(r, twin, known.Provider)
			} else {
				still = append(still, r)
			}
		}
		return still
	}
	return strays
}

func (v *verifyAccount) drop(r journal.Record, twin, provider string) {
	v.seen.Dropped++
	v.seen.Messages = append(v.seen.Messages, MessageReport{
		UIDL: fault.Escape(r.UIDL), Size: r.Sum.Size, State: "dropped", Folder: r.Folder, UID: r.UID,
		Reason: fmt.Sprintf("%s keeps no second copy of a message, and has the same octets as %s", provider, twin),
	})
}
