// Package steps holds no code: its tests kill the program at every step of its
// way, and have servers give every wrong answer, and look each time whether a
// message was lost, doubled, altered, or deleted too early.
//
// TestStepKill goes through the scenarios, and for each through every way of
// keeping mail and what a server may lack. POPFERRY_SWEEP=full kills at every
// step; else at a sample, chosen by a seed that is printed and that
// POPFERRY_SEED sets.
//
// The other tests are named after the rows of the fault catalogue: N for the
// network, M for POP3 servers that lie, S for the semantics of POP3, A for IMAP, D
// for malformed mail. Each puts one wrong answer in the place of a right one, looks
// at the exit status and at how long the run took, and then has a healthy run put
// everything right. TestCatalogue counts them.
//
// They are built without the race detector only: with it they take ten times as long for
// what package ferry's own tests show it as well, and Go 1.26 may end them by itself
// (golang/go#78156).
package steps
