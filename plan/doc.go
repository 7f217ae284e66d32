// Package plan turns accounts.yaml into a [Config], and what is known about one
// account into a [Plan]: the value that says for every message of a maildrop
// whether it is copied, skipped, held, deleted or left alone, and why.
//
// The order of use:
//
//	config, err := plan.Load("accounts.yaml") // every mistake of the file at once
//	accounts, err := config.Select(names)     // the accounts named, or all
//	err = config.Resolve(ctx, names)          // reads the passwords
//	p := plan.Build(plan.Input{…})            // pure: no network, no clock
//	fmt.Print(p)                              // or Encode, and later Drift
//
// Load is strict: an unknown key, a wrong type or a bad value is an error that
// names file, line and column and says what would be right. It collects all of
// them in [Errors]. No error ever repeats a value of the file, since the value
// may be a password in the wrong place.
//
// Build decides on what is certain. Where it can't be certain without reading a
// message it says "possible", and every doubt leaves the message on POP3: only
// what is delivered, read back and due is ever marked for deletion.
package plan
