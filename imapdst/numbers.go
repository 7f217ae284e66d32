package imapdst

// numbers looks for messages that an index lacks, by their message sequence numbers: these
// have no gaps, and ascend as UIDs do (RFC 3501 §2.3.1.2).
type numbers struct {
	tally  func() tally
	before tally // when the folder was open and nothing was asked for yet
	left   func(Gap) error

	known  bool // whether last is
	last   uint32
	lastID uint32 // the UID of that message
}

// tally is what a server said of the open folder, and how often.
type tally struct{ messages, expunged, fetched int }

// check looks at the next entries, in the order of their numbers; end tells that these are
// the last. Nothing is certain once a message was removed meanwhile: then all behind it have
// other numbers (RFC 3501 §7.4.1).
func (n *numbers) check(entries []numbered, end bool) error {
	now := n.tally()
	if now.expunged != n.before.expunged {
		return nil
	}
	for _, e := range entries {
		gap := Gap{n.lastID, e.UID}
		whole := !n.known || e.number == n.last+1 && e.UID > n.lastID
		n.known, n.last, n.lastID = true, e.number, e.UID
		if whole {
			continue
		}
		if err := n.left(gap); err != nil {
			return err
		}
	}
	if counted := min(n.before.messages, now.messages); end && n.endsBefore(counted, now) {
		return n.left(Gap{After: n.lastID})
	}
	return nil
}

// endsBefore reports whether the last of so many messages is missing. "n:*" has it even if
// it is not wanted (RFC 3501 §6.4.8), so that no answer at all says that it is.
func (n *numbers) endsBefore(counted int, now tally) bool {
	if n.known {
		return int(n.last) < counted
	}
	return counted > 0 && now.fetched == n.before.fetched
}
