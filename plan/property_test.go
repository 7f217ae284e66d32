package plan_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/popferry/popferry/plan"
)

// anyInput draws a maildrop and a journal from a small world, so that UIDLs
// repeat and keys meet.
func anyInput(t *rapid.T) plan.Input {
	uidls := rapid.SampledFrom([]string{"a", "b", "c", "a#2", "a #2", "", "d e", "\x00", "\xff"})
	sizes := rapid.SampledFrom([]int64{0, 1, 10, 50, 1 << 40})
	days := rapid.IntRange(-2, 40)
	when := func(name string) time.Time {
		if rapid.Bool().Draw(t, name+" unset") {
			return time.Time{}
		}
		return now.Add(-time.Duration(days.Draw(t, name)) * day)
	}
	in := plan.Input{Account: "x", Now: now, Known: map[string]plan.Known{},
		Found: map[string]plan.Match{}, Limit: rapid.SampledFrom([]int64{0, 5, 20}).Draw(t, "limit"),
		Keep: plan.Keep{Delete: rapid.Bool().Draw(t, "delete"),
			For: time.Duration(rapid.IntRange(0, 30).Draw(t, "for")) * day},
		HeldToo: rapid.Bool().Draw(t, "held too")}
	for i := range rapid.IntRange(0, 12).Draw(t, "listed") {
		in.Listing = append(in.Listing, plan.Listed{Number: i + 1, Size: sizes.Draw(t, "size"),
			UIDL: uidls.Draw(t, "uidl")})
	}
	states := rapid.SampledFrom([]string{"delivered", "held", "intent", "delete-sent", "gone", "?"})
	for _, key := range []string{"", "u:a", "u:a #2", "u:b", "u:b #2", "u:c", "u:a#2", "u:d e"} {
		if rapid.Bool().Draw(t, "known") {
			in.Known[key] = plan.Known{State: states.Draw(t, "state"), Listed: sizes.Draw(t, "size"),
				DeliveredAt: when("delivered"), VerifiedAt: when("verified")}
		}
		if rapid.Bool().Draw(t, "found") {
			in.Found[key] = plan.Match{Certain: rapid.Bool().Draw(t, "certain"),
				How: rapid.SampledFrom([]string{"content digest", "header digest"}).Draw(t, "how")}
		}
	}
	return in
}

// TestEachMessageGetsOneAction: none is lost, none is invented, none is renamed.
func TestEachMessageGetsOneAction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		p := plan.Build(in)
		if len(p.Actions) != len(in.Listing) {
			t.Fatalf("%d actions for %d messages", len(p.Actions), len(in.Listing))
		}
		keys := plan.Keys(in.Listing)
		seen := map[string]bool{}
		for i, a := range p.Actions {
			l := in.Listing[i]
			if l.Key = keys[i]; l.Key == "" {
				l.UIDL = ""
			}
			if a.Listed != l || a.Why == "" || a.Verb == "" {
				t.Fatalf("message %+v got %+v", l, a)
			}
			if a.Key != "" && seen[a.Key] {
				t.Fatalf("two messages have the key %q", a.Key)
			}
			seen[a.Key] = true
		}
	})
}

// TestOnlyWhatIsDeliveredAndVerifiedIsDeleted is invariants I1 and I4.
func TestOnlyWhatIsDeliveredAndVerifiedIsDeleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		for _, a := range plan.Build(in).Actions {
			if a.Verb != plan.Delete {
				continue
			}
			known, ok := in.Known[a.Key]
			if !ok || a.Key == "" || known.State != "delivered" && known.State != "delete-sent" ||
				known.Listed != a.Size || known.VerifiedAt.IsZero() ||
				!in.Keep.Delete || known.DeliveredAt.IsZero() ||
				now.Sub(known.DeliveredAt) < in.Keep.For || now.Before(known.DeliveredAt) {
				t.Fatalf("deleted: %+v, known %+v", a, known)
			}
			match := in.Found[a.Key]
			if a.Repeated && (!match.Certain || match.How != "content digest") {
				t.Fatalf("deleted by its ordinal alone: %+v", a)
			}
		}
	})
}

// TestNothingIsSkippedWithoutProof: a message is left out only if the journal has
// it with the same size, or the destination certainly has it.
func TestNothingIsSkippedWithoutProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		for _, a := range plan.Build(in).Actions {
			known := in.Known[a.Key]
			delivered := a.Key != "" && known.Listed == a.Size &&
				(known.State == "delivered" || known.State == "delete-sent")
			proof := delivered || a.Key != "" && in.Found[a.Key].Certain
			if a.Verb == plan.Skip && !proof {
				t.Fatalf("skipped: %+v, known %+v", a, known)
			}
			if a.Verb == plan.Copy && (delivered || in.Limit > 0 && a.Size > in.Limit) {
				t.Fatalf("copied: %+v, known %+v", a, known)
			}
			if a.Verb == plan.Copy && known.State == "intent" && a.Key != "" {
				t.Fatalf("copied before it is settled: %+v", a)
			}
		}
	})
}

// TestTotalsAddUp: the columns are a partition of the listing.
func TestTotalsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		s := plan.Build(in).Totals()
		var messages int
		var bytes int64
		for _, c := range []plan.Count{s.Known, s.Duplicate, s.Copy, s.Held, s.Delete, s.Parked} {
			messages += c.Messages
			bytes += c.Bytes
		}
		if s.Listed.Messages != len(in.Listing) || messages != s.Listed.Messages ||
			bytes != s.Listed.Bytes || s.Possible.Messages > s.Copy.Messages {
			t.Fatalf("%+v", s)
		}
	})
}

// TestAPlanSurvivesItsFile, and does not drift from itself.
func TestAPlanSurvivesItsFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plan.Build(anyInput(t))
		p.Warnings = append([]string{}, p.Warnings...)
		var file bytes.Buffer
		if err := plan.Encode(&file, []plan.Plan{p}); err != nil {
			t.Fatal(err)
		}
		back, err := plan.Decode(&file)
		if err != nil || len(back) != 1 {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back[0]); diff != "" {
			t.Fatal(diff)
		}
		if drift := plan.Drift(p, back[0]); len(drift) > 0 {
			t.Fatalf("drift from itself: %q", drift)
		}
	})
}

// TestASecondRunCopiesNothing is the multiset rule at this level: once every copy
// of the first plan is in the journal, the next plan copies none of them, however
// the server orders its listing.
func TestASecondRunCopiesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Known = map[string]plan.Known{}
		for _, a := range plan.Build(in).Actions {
			if a.Verb == plan.Copy && a.Key != "" {
				in.Known[a.Key] = plan.Known{State: "delivered", Listed: a.Size, DeliveredAt: now}
			}
		}
		in.Keep = plan.Keep{}
		for _, a := range plan.Build(in).Actions {
			if _, known := in.Known[a.Key]; known && a.Verb != plan.Skip {
				t.Fatalf("copied again: %+v", a)
			}
		}
	})
}

// FuzzDecode: a damaged plan is refused and never panics.
func FuzzDecode(f *testing.F) {
	var file bytes.Buffer
	if err := plan.Encode(&file, []plan.Plan{plan.Build(everyRule())}); err != nil {
		f.Fatal(err)
	}
	f.Add(file.String())
	f.Add(`{"version":1,"plans":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		plans, err := plan.Decode(strings.NewReader(text))
		if err == nil {
			_ = plan.Plans(plans).String()
		}
	})
}
