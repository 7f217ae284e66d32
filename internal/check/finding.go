package check

import (
	"errors"
	"fmt"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// Finding is something worth a person's attention: what is seen, the likely cause,
// and the first thing to check.
type Finding struct {
	Topic   string `json:"topic"`
	Symptom string `json:"symptom"`
	Cause   string `json:"cause"`
	Check   string `json:"check"`
	// Page is where the provider explains it.
	Page string `json:"page,omitempty"`
}

// Problem is why a side can't be used.
type Problem struct {
	Code fault.Code `json:"code"`
	Finding
}

// diagnose makes a problem of an error of a side.
func diagnose(e plan.Endpoint, err error) *Problem {
	p := &Problem{Code: fault.CodeOf(err), Finding: Finding{Symptom: messageOf(err)}}
	if r := ruleOf(e, err); r.topic != "" {
		p.explain(r, err)
		p.askToken(e)
		p.askRoom(e)
		p.ask(e, err)
		return p
	}
	// Our own words: a setting that can't be used, an end by our own hand, a bug.
	p.Cause, p.Check = ownCause(p.Code), fault.HintOf(err)
	return p
}

// messageOf is what happened, without the account's name.
func messageOf(err error) string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return fault.Escape(err.Error())
}

func (p *Problem) explain(r rule, err error) {
	t := topic(r.topic)
	p.Topic, p.Cause, p.Check = t.Name, t.Cause, t.Check
	if r.hint {
		p.Check = fault.HintOf(err)
	}
	if strings.HasPrefix(t.Name, "certificate-") || t.Name == "self-signed" {
		p.Check += "; " + fault.HintOf(err) // whose it is, and the pin
	}
	if strings.Contains(strings.ToLower(err.Error()), oauthProvider) && fault.HintOf(err) != "" {
		p.Check = fault.HintOf(err) // names the command, or the setting
	}
	if _, offered, ok := strings.Cut(fault.HintOf(err), "SASL mechanisms that"); ok && t.Name == "wrong-auth" && !r.hint {
		p.Check += "; SASL mechanisms that" + offered
	}
	// What is known of the mechanism that was chosen.
	if _, more, ok := strings.Cut(fault.HintOf(err), "; or the server keeps"); ok {
		p.Check += "; or the server keeps" + more
	}
	if pause := fault.AfterOf(err); pause > 0 {
		p.Check = fmt.Sprintf("wait %s, as the server asks; ", fault.Span(pause)) + p.Check
	}
}

func ownCause(code fault.Code) string {
	switch code {
	case fault.Config:
		return "a setting in accounts.yaml that does not fit"
	case fault.Internal:
		return "a bug of popferry"
	}
	return "not known"
}

// topic finds what is known by its name, which a test has seen to be there.
func topic(name string) Topic {
	for _, t := range topics {
		if t.Name == name {
			return t
		}
	}
	return Topic{Name: name}
}

// finding makes a warning or a note of a topic, with what was seen this time.
func finding(name, format string, args ...any) Finding {
	t := topic(name)
	return Finding{Topic: name, Symptom: fmt.Sprintf(format, args...), Cause: t.Cause, Check: t.Check}
}
