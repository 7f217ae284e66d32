package plan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/popferry/popferry/internal/fault"
)

// maxPlanFile bounds a stored plan, in octets: some millions of messages.
const maxPlanFile = 2 << 30

// stored is the form of a plan in a file.
type stored struct {
	Version     int         `json:"version"`
	Account     string      `json:"account"`
	ConfigHash  string      `json:"config_hash"`
	Destination Destination `json:"destination"`
	Totals      Totals      `json:"totals"`
	Warnings    []string    `json:"warnings"`
	Actions     []Action    `json:"actions"`
}

// storedPlans is a file of plans.
type storedPlans struct {
	Version int    `json:"version"`
	Plans   []Plan `json:"plans"`
}

// MarshalJSON adds the totals, for readers other than popferry.
func (p Plan) MarshalJSON() ([]byte, error) {
	return marshal(p.stored(p.Actions))
}

func (p Plan) stored(actions []Action) stored {
	return stored{Version: p.Version, Account: p.Account, ConfigHash: p.ConfigHash,
		Destination: p.Destination, Totals: p.Totals(), Warnings: emptyNotNull(p.Warnings),
		Actions: emptyNotNull(actions)}
}

// marshal keeps "<" and ">" readable: the file is not for a browser.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// UnmarshalJSON refuses another version, an unknown verb, and totals that the
// actions don't add up to.
func (p *Plan) UnmarshalJSON(data []byte) error {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s.Version != Version {
		return wrongVersion(s.Version)
	}
	decoded := Plan{Version: s.Version, Account: s.Account, ConfigHash: s.ConfigHash,
		Destination: s.Destination, Actions: s.Actions, Warnings: s.Warnings}
	for _, a := range s.Actions {
		switch a.Verb {
		case Copy, Skip, Hold, Delete, Park:
		default:
			return fmt.Errorf("message %d has the unknown verb %q", a.Number,
				fault.Escape(string(a.Verb)))
		}
	}
	if decoded.Totals() != s.Totals {
		return errors.New("its totals do not add up")
	}
	*p = decoded
	return nil
}

func wrongVersion(version int) error {
	return fault.New(fault.Config, "plan has version %d, and this popferry knows version %d",
		version, Version).WithHint("make the plan again with this popferry")
}

// Encode stores plans as JSON, one line for each message, so that two files can
// be compared line by line. The format is a contract; see [Version].
func Encode(w io.Writer, plans []Plan) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "{\"version\":%d,\"plans\":[", Version)
	for i, p := range plans {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := p.encode(out); err != nil {
			return fault.New(fault.Internal, "encode the plan: %w", err)
		}
	}
	out.WriteString("\n]}\n")
	if err := out.Flush(); err != nil { // which also gives an earlier error
		return fault.New(fault.State, "store the plan: %w", err).
			WithHint("check that the disk is not full")
	}
	return nil
}

func (p Plan) encode(out *bufio.Writer) error {
	head, err := marshal(p.stored(nil))
	if err != nil {
		return err
	}
	const end = "]}" // actions is the last field, and empty
	out.WriteByte('\n')
	out.Write(bytes.TrimSuffix(head, []byte(end)))
	for i, a := range p.Actions {
		line, err := marshal(a)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		out.Write(line)
	}
	out.WriteString(end)
	return nil
}

// Decode reads what Encode stored. What is damaged, edited so that it does not
// add up, or of another version is a fault with code Config.
func Decode(r io.Reader) ([]Plan, error) {
	limited := &io.LimitedReader{R: r, N: maxPlanFile}
	decoder := json.NewDecoder(limited)
	var file storedPlans
	err := decoder.Decode(&file)
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return nil, known
	case err != nil && limited.N == 0:
		return nil, badPlan(fmt.Errorf("larger than %d bytes", int64(maxPlanFile)))
	case err != nil:
		return nil, badPlan(err)
	case file.Version != Version:
		return nil, wrongVersion(file.Version)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, badPlan(errors.New("something follows the plan"))
	}
	return file.Plans, nil
}

func badPlan(err error) error {
	return fault.New(fault.Config, "not a usable plan: %w", err).
		WithHint("make the plan again with popferry plan --out FILE")
}
