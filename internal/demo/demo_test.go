package demo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popferry/popferry/internal/demo"
	"github.com/popferry/popferry/internal/fault"
)

func start(t *testing.T) *demo.Demo {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	d, err := demo.Start(t.Context(), demo.Options{Messages: 25})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// connect logs in as a mail program would, with what the demo says.
func connect(t *testing.T, d *demo.Demo) *imapclient.Client {
	t.Helper()
	to := d.IMAP()
	seen := ""
	client, err := imapclient.DialTLS(fmt.Sprintf("%s:%d", to.Host, to.Port), &imapclient.Options{
		TLSConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			seen = strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(s.PeerCertificates[0].Raw)), " ", ":")
			return nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if seen != to.Fingerprint {
		t.Errorf("the certificate is %s, announced is %s", seen, to.Fingerprint)
	}
	if err := client.Login(to.Username, to.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSecondRunCopiesNothingAndTheProofHolds(t *testing.T) {
	d := start(t)
	for i, want := range []int{d.Messages(), 0} {
		r, err := d.Ferry(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != fault.OK || r.Totals.Delivered != want || r.Totals.Listed != d.Messages() {
			t.Fatalf("run %d: %+v", i+1, r)
		}
	}
	if d.Messages() <= 25 || d.Hard() != d.Messages()-25 || d.LeftOut() == 0 {
		t.Errorf("%d messages, %d of them hard, %d left out", d.Messages(), d.Hard(), d.LeftOut())
	}
	proof, err := d.Prove(t.Context())
	if err != nil || !proof.Holds() {
		t.Errorf("%+v, %v", proof, err)
	}
}

// TestProofCanFail is what makes the proof worth anything: it must notice a copy
// too many, a changed message and a missing one.
func TestProofCanFail(t *testing.T) {
	d := start(t)
	if proof, err := d.Prove(t.Context()); err != nil || proof.Holds() || proof.Missing != d.Messages() {
		t.Errorf("before a run: %+v, %v", proof, err)
	}
	if _, err := d.Ferry(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := connect(t, d)
	box, err := client.Select("INBOX", nil).Wait()
	if err != nil || int(box.NumMessages) != d.Messages() {
		t.Fatalf("%d messages, want %d: %v", box.NumMessages, d.Messages(), err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	first, err := client.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	raw := first[0].FindBodySection(section)
	insert(t, client, raw)
	expect(t, d, "a copy too many", demo.Proof{Destination: d.Messages() + 1, Same: d.Messages(), Extra: 1})
	remove(t, client, 1)
	expect(t, d, "one of two copies", demo.Proof{Destination: d.Messages(), Same: d.Messages()})
	remove(t, client, uint32(d.Messages()))
	insert(t, client, bytes.Replace(raw, []byte("e"), []byte("E"), 1))
	expect(t, d, "a changed message", demo.Proof{Destination: d.Messages(), Same: d.Messages() - 1, Missing: 1, Extra: 1})
}

func expect(t *testing.T, d *demo.Demo, what string, want demo.Proof) {
	t.Helper()
	want.Source = d.Messages()
	if got, err := d.Prove(context.Background()); err != nil || got != want {
		t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
	}
}

func insert(t *testing.T, client *imapclient.Client, raw []byte) {
	t.Helper()
	w := client.Append("INBOX", int64(len(raw)), nil)
	w.Write(raw)
	w.Close()
	if _, err := w.Wait(); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, client *imapclient.Client, number uint32) {
	t.Helper()
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}
	if err := client.Store(imap.SeqSetNum(number), store, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	d := start(t)
	if _, err := d.Ferry(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
