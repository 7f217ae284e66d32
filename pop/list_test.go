package pop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

const (
	two  = "+OK 2 300"
	size = "+OK\r\n1 100\r\n2 200\r\n."
	uidl = "+OK\r\n1 a\r\n2 b\r\n."
)

// good is what the replies above say.
var good = []pop.Entry{{Number: 1, Size: 100, UIDL: "a"}, {Number: 2, Size: 200, UIDL: "b"}}

func without(uidls ...int) []pop.Entry {
	entries := append([]pop.Entry(nil), good...)
	for _, n := range uidls {
		entries[n-1].UIDL = ""
	}
	return entries
}

func listingServer(t *testing.T, stat, list, uidl string, pipelined bool) *popd.Server {
	return serve(t, popd.Options{NoPipelining: !pipelined, Reply: replies(map[string]string{
		"STAT": stat + "\r\n", "LIST": list + "\r\n", "UIDL": uidl + "\r\n",
	})})
}

func TestList(t *testing.T) {
	for name, test := range map[string]struct {
		stat, list, uidl string
		want             []pop.Entry
	}{
		"plain":               {two, size, uidl, good},
		"empty":               {"+OK 0 0", "+OK\r\n.", "+OK\r\n.", nil},
		"empty, LIST refuses": {"+OK 0 0", "-ERR no messages", "+OK\r\n.", nil},
		"padded": {two, "+OK\r\n  1   100 \r\n\t2\t200 more\r\n.",
			"+OK\r\n1    a\r\n 2 b \r\n.", good},
		"blank lines": {two, "+OK\r\n1 100\r\n\r\n2 200\r\n.",
			"+OK\r\n1 a\r\n\r\n2 b\r\n.", good},
		"M15 bare LF":       {two, "+OK\n1 100\n2 200\n.", "+OK\n1 a\n2 b\n.", good},
		"M7 STAT 0":         {"+OK 0 0", size, uidl, good},
		"M7 STAT 2^63":      {"+OK 9223372036854775808 1", size, uidl, good},
		"M7 STAT huge":      {"+OK 2000000000 1", size, uidl, good},
		"M7 STAT nonsense":  {"+OK many", size, uidl, good},
		"M7 STAT refused":   {"-ERR no", size, uidl, good},
		"M7 STAT overruled": {"+OK 9 300", size, uidl, good},
		"M7 size nonsense": {two, "+OK\r\n1 -5\r\n2 9223372036854775808\r\n.", "-ERR no",
			[]pop.Entry{{Number: 1}, {Number: 2}}},
		"M9 no id":    {two, size, "+OK\r\n1\r\n2 b\r\n.", without(1)},
		"M9 blank id": {two, size, "+OK\r\n1 \r\n2 b\r\n.", without(1)},
		"M9 too long": {two, size,
			"+OK\r\n1 " + strings.Repeat("x", 1025) + "\r\n2 b\r\n.", without(1)},
		"M9 far too long": {two, size,
			"+OK\r\n1 " + strings.Repeat("x", 20000) + "\r\n2 b\r\n.", without(1)},
		"M9 control":               {two, size, "+OK\r\n1 a\x07\r\n2 b\r\n.", without(1)},
		"M9 UTF-8":                 {two, size, "+OK\r\n1 ä\r\n2 b\r\n.", without(1)},
		"S4 no UIDL":               {two, size, "-ERR unknown command", without(1, 2)},
		"S5 a line is missing":     {two, size, "+OK\r\n2 b\r\n.", without(1)},
		"S5 all lines are missing": {two, size, "+OK\r\n.", without(1, 2)},
		"S6 twice the same": {two, size, "+OK\r\n1 a\r\n2 a\r\n.",
			[]pop.Entry{{1, 100, "a"}, {2, 200, "a"}}},
		"paths are but identifiers": {two, size, "+OK\r\n1 /../a\r\n2 b\r\n.",
			[]pop.Entry{{1, 100, "/../a"}, {2, 200, "b"}}},
		"1 KiB is fine": {two, size,
			"+OK\r\n1 " + strings.Repeat("x", 1024) + "\r\n2 b\r\n.",
			[]pop.Entry{{1, 100, strings.Repeat("x", 1024)}, {2, 200, "b"}}},
		"an identifier with a blank": {two, size, "+OK\r\n1 a b\r\n2 b\r\n.",
			[]pop.Entry{{1, 100, "a b"}, {2, 200, "b"}}},
	} {
		for _, pipelined := range []bool{true, false} {
			t.Run(fmt.Sprint(name, "/", pipelined), func(t *testing.T) {
				m := dial(t, over(listingServer(t, test.stat, test.list, test.uidl, pipelined)))
				if diff := cmp.Diff(test.want, list(t, m)); diff != "" {
					t.Error(diff)
				}
				if err := m.Noop(t.Context()); err != nil {
					t.Errorf("the session is lost: %v", err)
				}
			})
		}
	}
}

func TestListRefused(t *testing.T) {
	for name, test := range map[string]struct {
		stat, list, uidl string
		code             fault.Code
		words            string
	}{
		"M8 twice": {two, "+OK\r\n1 100\r\n1 200\r\n.", uidl, fault.Protocol,
			"message 1 listed twice"},
		"M8 out of order": {two, "+OK\r\n1 100\r\n2 200\r\n1 1\r\n.", uidl, fault.Protocol,
			"message 1 listed after message 2"},
		"M8 negative": {two, "+OK\r\n-1 100\r\n2 200\r\n.", uidl, fault.Protocol,
			"message number -1"},
		"M8 zero": {two, "+OK\r\n0 100\r\n.", uidl, fault.Protocol,
			"message number 0"},
		"M8 gap": {two, "+OK\r\n1 100\r\n3 200\r\n.", uidl, fault.Protocol,
			"message 3 follows message 1"},
		"M8 not a number": {two, "+OK\r\none 100\r\n.", uidl, fault.Protocol,
			"\"one\" is not a message number"},
		"M8 huge number": {two, "+OK\r\n" + strings.Repeat("9", 500) + " 1\r\n.", uidl,
			fault.Protocol, "not a message number"},
		"M8 more than STAT": {"+OK 1 100", size, "-ERR no", fault.Protocol,
			"STAT counts 1 messages and LIST shows 2"},
		"M8 fewer than STAT": {"+OK 3 100", size, "+OK\r\n1 a\r\n.", fault.Protocol,
			"STAT counts 3 messages and LIST shows 2"},
		"M8 UIDL knows more": {two, size, "+OK\r\n1 a\r\n2 b\r\n3 c\r\n.", fault.Protocol,
			"message 3 has an identifier but no size"},
		"M8 UIDL twice": {two, size, "+OK\r\n1 a\r\n1 b\r\n.", fault.Protocol,
			"message 1 has two identifiers"},
		"M8 UIDL out of order": {two, size, "+OK\r\n2 a\r\n1 b\r\n.", fault.Protocol,
			"identifier of message 1 after"},
		"M8 UIDL negative": {two, size, "+OK\r\n-2 a\r\n.", fault.Protocol,
			"message number -2"},
		"M8 UIDL not a number": {two, size, "+OK\r\nx a\r\n.", fault.Protocol,
			"not a message number"},
		"M12 LIST line": {two, "+OK\r\n1 " + strings.Repeat("1", 1200) + "\r\n.", uidl,
			fault.Protocol, "more than 1024 bytes"},
		"M12 UIDL line": {two, size, "+OK\r\n1 " + strings.Repeat("1", 70000) + "\r\n.",
			fault.Protocol, "more than 32768 bytes"},
		"damaged maildrop": {two, "-ERR bad message in maildrop", uidl, fault.Refused,
			"bad message"},
		"LIST SYS/TEMP":            {two, "-ERR [SYS/TEMP] no", uidl, fault.Temporary, "no"},
		"UIDL SYS/TEMP":            {two, size, "-ERR [SYS/TEMP] no", fault.Temporary, "no"},
		"a reply that is none":     {two, "1 100\r\n.", uidl, fault.Protocol, "not a POP3 reply"},
		"a challenge out of place": {two, "+ 1", uidl, fault.Protocol, "not a POP3 reply"},
		"LIST ends without a dot":  {two, "+OK\r\n1 100\r\n2 200", uidl, fault.Protocol, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := dial(t, over(listingServer(t, test.stat, test.list, test.uidl, true)))
			_, err := m.List(t.Context())
			wantFault(t, err, test.code, test.words)
			if _, err := m.List(t.Context()); err == nil {
				t.Error("the session goes on")
			}
		})
	}
}

func TestM7MaxMessages(t *testing.T) {
	options := over(listingServer(t, two, size, uidl, true))
	options.MaxMessages = 1
	_, err := dial(t, options).List(t.Context())
	wantFault(t, err, fault.Protocol, "more than 1 messages")
}

// S6, as mbox servers make UIDLs up.
func TestS6DuplicateUIDLs(t *testing.T) {
	server := serve(t, popd.Options{DuplicateUIDLs: true}, "a\r\n", "b\r\n", "c\r\n")
	entries := list(t, dial(t, over(server)))
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.UIDL]++
	}
	if len(entries) != 3 || len(seen) != 2 {
		t.Errorf("%d entries with %d identifiers, want 3 with 2", len(entries), len(seen))
	}
}

// S9: numbers are those of the session, identifiers those of the messages.
func TestS9NumbersChange(t *testing.T) {
	server := serve(t, popd.Options{}, "a\r\n", "b\r\n", "c\r\n")
	before := list(t, dial(t, over(server)))
	server.Shuffle(3, 1, 2)
	server.Expunge(2)
	after := list(t, dial(t, over(server)))
	if len(after) != 2 || after[0].UIDL != before[2].UIDL || after[1].UIDL != before[1].UIDL {
		t.Errorf("before %v, after %v", before, after)
	}
}

// RFC 1939 §5: what is marked as deleted is not listed.
func TestListAfterDelete(t *testing.T) {
	for _, noUIDL := range []bool{false, true} {
		m := dial(t, over(serve(t, popd.Options{NoUIDL: noUIDL}, "a\r\n", "b\r\n", "c\r\n")))
		entries := list(t, m)
		deleteAll(t, m, entries[1:2])
		want := []pop.Entry{entries[0], entries[2]}
		if diff := cmp.Diff(want, list(t, m)); diff != "" {
			t.Error(diff)
		}
	}
}

// A hundred thousand messages, and no more memory than the entries need.
func TestLongListing(t *testing.T) {
	const count = 100_000
	var sizes, ids strings.Builder
	for i := 1; i <= count; i++ {
		fmt.Fprintf(&sizes, "%d %d\r\n", i, i*10)
		fmt.Fprintf(&ids, "%d id-%d\r\n", i, i)
	}
	server := listingServer(t, fmt.Sprintf("+OK %d 1", count), "+OK\r\n"+sizes.String()+".",
		"+OK\r\n"+ids.String()+".", true)
	entries := list(t, dial(t, over(server)))
	last := pop.Entry{Number: count, Size: count * 10, UIDL: fmt.Sprintf("id-%d", count)}
	if len(entries) != count || entries[count-1] != last {
		t.Errorf("%d entries, the last %v", len(entries), entries[len(entries)-1])
	}
}
