package sasl_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

// TestAfterExternal: what became of the password counts, unless it could not be tried.
func TestAfterExternal(t *testing.T) {
	refused := fault.New(fault.Credentials, "no such certificate").WithHint("check it")
	refused.Err = sasl.ErrExternal
	for code, want := range map[fault.Code]struct {
		code     fault.Code
		refusals int
		says     string
	}{
		fault.Credentials: {fault.Credentials, 2, "because; before it the certificate"},
		fault.Temporary:   {fault.Temporary, 1, "because"},
		fault.Protocol:    {fault.Protocol, 1, "because"},
		fault.Config:      {fault.Credentials, 1, "no such certificate"}, // TLS wants one
		fault.TLS:         {fault.Credentials, 1, "no such certificate"},
		fault.Refused:     {fault.Refused, 1, "because"}, // the mailbox is full
	} {
		err := sasl.AfterExternal(refused, fault.New(code, "because").WithHint("look").WithResponse("WHY"))
		if fault.CodeOf(err) != want.code || fault.RefusalsOf(err) != want.refusals || !strings.HasPrefix(err.Error(), want.says) {
			t.Errorf("%v: %v (%v), %d refusals", code, err, fault.CodeOf(err), fault.RefusalsOf(err))
		}
		if errors.Is(err, sasl.ErrBefore) != (code == fault.Temporary || code == fault.Refused) {
			t.Errorf("%v: %#v", code, err)
		}
		if both := want.code == fault.Credentials; errors.Is(err, sasl.ErrExternal) != both || fault.HintOf(err) == "" {
			t.Errorf("%v: %#v", code, err)
		}
	}
	none := fault.New(fault.Refused, "%w for a password", sasl.ErrNoWay)
	if err := sasl.AfterExternal(refused, none); err != refused {
		t.Errorf("no way for a password: %v", err)
	}
	rest := fault.New(fault.Temporary, "enough for today").WithRest(time.Hour, "it is the day's limit")
	if err := sasl.AfterExternal(refused, rest); fault.AfterOf(err) != time.Hour || fault.BecauseOf(err) != "it is the day's limit" {
		t.Errorf("%v: %s", fault.AfterOf(err), fault.BecauseOf(err))
	}
	if sasl.AfterExternal(refused, nil) != nil || sasl.LeftOut(nil) != nil {
		t.Error("an error after a login that was good")
	}
	err := sasl.LeftOut(fault.New(fault.Credentials, "wrong").WithHint("look").WithResponse("AUTH"))
	var e *fault.Error
	if !errors.As(err, &e) || e.Response != "AUTH" || e.Hint != "look" || !strings.Contains(e.Message, "left out") {
		t.Errorf("%#v", err)
	}
	if err := sasl.LeftOut(fault.New(fault.Temporary, "busy")); err.Error() != "busy" {
		t.Error(err)
	}
}

// TestHolder: whom servers take for the user, if there is no doubt.
func TestHolder(t *testing.T) {
	for want, names := range map[string][]string{"alice": {"alice"}, "bob": {"bob", "bob"}, "": {"alice", "bob"}} {
		var subject pkix.Name
		for _, name := range names {
			subject.Names = append(subject.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name},
				pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "an organization"})
		}
		if got := sasl.Holder(&tls.Certificate{Leaf: &x509.Certificate{Subject: subject}}); got != want {
			t.Errorf("%q: %q", names, got)
		}
	}
	if sasl.Holder(nil) != "" || sasl.Holder(&tls.Certificate{}) != "" {
		t.Error("a name out of nothing")
	}
}
