package plan

import (
	"fmt"

	"github.com/popferry/popferry/internal/fault"
)

// maxDrift bounds how many differences are told.
const maxDrift = 20

// Drift compares a plan that was reviewed with one made just now, and returns
// the differences that forbid to carry it out, for people; none means that it
// may be carried out.
//
// New mail is no drift, nor is mail that needs nothing and went away. Another
// configuration, destination or UIDVALIDITY is, and every planned copy or deletion
// that is gone, changed, or would now end in another way. Two differences come
// from carrying out the plan itself, so that an interrupted one can be finished:
// a planned copy may be known or in settlement by now. The verb that counts is
// that of the new plan.
func Drift(reviewed, current Plan) []string {
	d := drift{}
	d.destination(reviewed, current)
	now := make(map[string]Action, len(current.Actions))
	nameless := map[int64]int{} // by size: messages without a key look alike
	for _, a := range current.Actions {
		if a.Key == "" {
			nameless[a.Size]++
			continue
		}
		now[a.Key] = a
	}
	for _, was := range reviewed.Actions {
		if was.Key == "" {
			d.nameless(was, nameless)
			continue
		}
		is, listed := now[was.Key]
		d.message(was, is, listed)
	}
	if d.more > 0 {
		d.list = append(d.list, fmt.Sprintf("and %d more", d.more))
	}
	return d.list
}

type drift struct {
	list []string
	more int
}

func (d *drift) add(format string, args ...any) {
	if len(d.list) == maxDrift {
		d.more++
		return
	}
	d.list = append(d.list, fmt.Sprintf(format, args...))
}

func (d *drift) destination(reviewed, current Plan) {
	was, is := reviewed.Destination, current.Destination
	switch {
	case reviewed.Account != current.Account:
		d.add("it is a plan for the account %q, not %q", fault.Escape(reviewed.Account),
			fault.Escape(current.Account))
	case reviewed.ConfigHash != current.ConfigHash:
		d.add("the configuration is not the one that the plan was made with")
	case was.Host != is.Host || was.User != is.User || was.Folder != is.Folder:
		d.add("the destination is not the one that the plan was made with")
	case was.Exists && !is.Exists:
		d.add("folder %s is gone", fault.Escape(was.Folder))
	case was.Exists && was.UIDValidity != is.UIDValidity:
		d.add("folder %s was made anew: its UIDVALIDITY was %d and is %d",
			fault.Escape(was.Folder), was.UIDValidity, is.UIDValidity)
	}
}

// message compares what was planned for one message with what would be now.
func (d *drift) message(was, is Action, listed bool) {
	planned := was.planned()
	switch {
	case !listed && planned:
		d.add("%s is gone from the maildrop", was.name())
	case !listed:
	case was.Size != is.Size:
		d.add("%s is another message now: its size was %s and is %s",
			append([]any{was.name()}, twoSizes(was.Size, is.Size)...)...)
	case was.Verb == is.Verb, was.Verb == Copy && ownDoing(is):
	case planned, is.Verb == Copy, is.Verb == Delete:
		d.add("%s: was to %s, and would now %s (%s)", was.name(), was.Verb, is.Verb,
			fault.Escape(is.Why))
	}
}

// ownDoing reports whether a planned copy was begun or done by an earlier run.
func ownDoing(is Action) bool {
	return is.Verb == Park || is.Verb == Skip && is.Match == nil
}

// nameless takes one message of the same size off those that are listed now.
func (d *drift) nameless(was Action, left map[int64]int) {
	switch {
	case left[was.Size] > 0:
		left[was.Size]--
	case was.planned():
		d.add("%s is gone from the maildrop, or changed", was.name())
	}
}

// planned reports whether carrying out the plan does something with the message.
func (a Action) planned() bool { return a.Verb == Copy || a.Verb == Delete }

// name names a message for people.
func (a Action) name() string {
	if a.UIDL == "" {
		return fmt.Sprintf("message %d (%s, no UIDL)", a.Number, formatSize(a.Size))
	}
	return fmt.Sprintf("message %d (%s, UIDL %s)", a.Number, formatSize(a.Size),
		fault.Escape(a.UIDL))
}
