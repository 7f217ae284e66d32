package steps_test

import (
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

func scenarios() []scenario {
	return ordinary()
}

func ordinary() []scenario {
	return []scenario{
		{name: "one message", mail: letters(0, 1)},
		{name: "a few messages", mail: letters(0, 5)},
		{name: "no messages"},
		{name: "no Message-IDs", mail: notes(4)},
		{name: "one Message-ID for all", mail: sameID(4)},
		{name: "identical copies", mail: join(letters(0, 2), letters(0, 2), letters(0, 1))},
		{name: "identical copies without Message-ID", mail: join(notes(2), notes(2))},
		{name: "mail arrives between runs", mail: letters(0, 3),
			between: func(w *voyage.World) { w.Arrive(0, letters(10, 2)...) }},
		{name: "mail arrives after a run", mail: letters(0, 3), prior: true,
			after: func(w *voyage.World) { w.Arrive(0, letters(10, 3)...) }},
		{name: "some of it is there", mail: letters(0, 4),
			setup: func(w *voyage.World) { w.Prefill("INBOX", letters(1, 2)...) }},
		{name: "foreign mail is there", mail: letters(0, 3),
			setup: func(w *voyage.World) { w.Prefill("INBOX", letters(50, 3)...) }},
		{name: "no PIPELINING", mail: letters(0, 3),
			options: withPop(func(o *popd.Options) { o.NoPipelining = true })},
		{name: "no MULTIAPPEND", mail: letters(0, 4),
			options: withImap(func(o *imapd.Options) { o.NoMultiAppend = true })},
	}
}

func sameID(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = append([]byte("Message-ID: <same@letters.example.org>\r\nSubject: same\r\n\r\n"), note(i)...)
	}
	return all
}
