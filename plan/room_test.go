package plan_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/plan"
)

func sized(sizes ...int64) []plan.Listed {
	var list []plan.Listed
	for _, size := range sizes {
		list = append(list, plan.Listed{Size: size})
	}
	return list
}

// TestRoomFit: a large message does not keep the smaller ones behind it out.
func TestRoomFit(t *testing.T) {
	list := sized(10, 50, 20, 0, 5)
	for name, c := range map[string]struct {
		room         plan.Room
		fits, beyond []plan.Listed
	}{
		"no quota":    {plan.Room{plan.NoLimit, plan.NoLimit}, list, nil},
		"all":         {plan.Room{85, 5}, list, nil},
		"one octet":   {plan.Room{84, 5}, sized(10, 50, 20, 0), sized(5)},
		"one message": {plan.Room{plan.NoLimit, 4}, sized(10, 50, 20, 0), sized(5)},
		"a large one": {plan.Room{35, plan.NoLimit}, sized(10, 20, 0, 5), sized(50)},
		"full":        {plan.Room{0, plan.NoLimit}, sized(0), sized(10, 50, 20, 5)},
		"no message":  {plan.Room{1000, 0}, nil, list},
		"huge":        {plan.Room{math.MaxInt64, math.MaxInt64}, list, nil},
	} {
		fits, beyond := c.room.Fit(list)
		if diff := cmp.Diff(c.fits, fits); diff != "" {
			t.Errorf("%s fits (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.beyond, beyond); diff != "" {
			t.Errorf("%s beyond (-want +got):\n%s", name, diff)
		}
	}
}

// TestRoomIsWeighed: the plan warns of what will not fit, and of nothing else.
func TestRoomIsWeighed(t *testing.T) {
	p := plan.Plan{Destination: plan.Destination{Host: "imap.example.net", User: "alice@example.net"},
		Actions: []plan.Action{
			{Listed: plan.Listed{Size: 1_200_000_000}, Verb: plan.Copy},
			{Listed: plan.Listed{Size: 10}, Verb: plan.Copy}, {Listed: plan.Listed{Size: 1 << 40}, Verb: plan.Skip},
		}}
	const of = ` left in the quota of alice@example.net on imap.example.net; what does not fit stays on POP3`
	for _, c := range []struct {
		room plan.Room
		want []string
	}{
		{plan.Room{plan.NoLimit, plan.NoLimit}, nil},
		{plan.Room{1_200_000_010, 2}, nil},
		{plan.Room{300_000_000, 2}, []string{"about 1.2 GB to copy, 300 MB" + of}},
		{plan.Room{1_200_000_009, 2}, []string{"about 1200000010 bytes to copy, 1200000009 bytes" + of}},
		{plan.Room{plan.NoLimit, 1}, []string{"2 messages to copy, room for 1" + of}},
		{plan.Room{0, 0}, []string{"about 1.2 GB to copy, 0 bytes" + of, "2 messages to copy, room for 0" + of}},
	} {
		weighed := p
		weighed.Weigh(c.room)
		if diff := cmp.Diff(c.want, weighed.Warnings); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.room, diff)
		}
	}
}
