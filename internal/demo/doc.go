// Package demo shows popferry at work without anything to set up: a POP3 and an
// IMAP server inside the process, sample mail, and the same code that a real run
// uses.
//
// The order of use:
//
//	d, err := demo.Start(demo.Options{…}) // two servers on loopback ports, over TLS
//	defer d.Close()                       // ends them, removes all that was written
//	d.YAML()                              // the accounts.yaml that it runs with
//	first, err := d.Ferry(ctx)            // a run
//	second, err := d.Ferry(ctx)           // the same again: copies nothing
//	proof, err := d.Prove(ctx)            // reads the IMAP side and compares
//
// The mail is that of a mailbox grown over the years, and the small ones of the
// hard messages that popferry's tests are made of. The IMAP server is go-imap's,
// which keeps mail in memory and parses a message to show it: a few of the hard
// ones it takes and can't show again. They are not used here, and [Demo.LeftOut]
// says how many: a demonstration that can't be checked proves nothing.
package demo
