package plan

import "fmt"

// Room is what the destination's quotas leave (RFC 9208).
type Room struct {
	// Octets are left of the storage, Messages of their number; or NoLimit.
	Octets, Messages int64
}

// NoLimit is where there is no quota, or none that anybody tells of.
const NoLimit int64 = -1

// Fit tells the messages that there is room for, in their order, from those that
// are beyond it. A large one does not keep the smaller ones behind it out.
func (r Room) Fit(list []Listed) (fits, beyond []Listed) {
	for _, l := range list {
		if r.has(Count{1, l.Size}) {
			fits = append(fits, l)
			r = r.Less(Count{1, l.Size})
		} else {
			beyond = append(beyond, l)
		}
	}
	return fits, beyond
}

func (r Room) has(c Count) bool {
	return (r.Octets == NoLimit || r.Octets >= c.Bytes) &&
		(r.Messages == NoLimit || r.Messages >= int64(c.Messages))
}

// Less is the room that is left once something was put into it.
func (r Room) Less(c Count) Room {
	if r.Octets != NoLimit {
		r.Octets = max(0, r.Octets-c.Bytes)
	}
	if r.Messages != NoLimit {
		r.Messages = max(0, r.Messages-int64(c.Messages))
	}
	return r
}

// Weigh adds a warning to the plan if there is no room for all that it copies.
func (p *Plan) Weigh(r Room) {
	work := p.Totals().Copy
	of := fmt.Sprintf("left in the quota of %s on %s; what does not fit stays on POP3",
		p.Destination.User, p.Destination.Host)
	if !(Room{r.Octets, NoLimit}).has(work) {
		sizes := twoSizes(work.Bytes, r.Octets)
		p.Warnings = append(p.Warnings, fmt.Sprintf("about %s to copy, %s %s", sizes[0], sizes[1], of))
	}
	if !(Room{NoLimit, r.Messages}).has(work) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s to copy, room for %d %s",
			messages(work.Messages), r.Messages, of))
	}
}
