// Command popferry carries mail from POP3 maildrops into IMAP folders, once, and
// proves it.
//
// Each verb is a file of its own. They all look alike: flags are bound to an
// options struct, the session loads what they share (configuration, secrets,
// journal), a function of internal/ferry does the work, and internal/report shows
// it. What is worth a test of its own is in those packages.
//
// What goes where: data to the standard output, talk to the error output. The
// exit status is the most severe of what went wrong, as `popferry run --help`
// lists it; errors are of type *fault.Error and know their own.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
