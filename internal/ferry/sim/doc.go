// Package sim holds no code: its tests invent histories of the program and its
// servers, and look for one in which a message is lost, doubled, altered or
// deleted too early.
//
// TestHistories draws a history from each seed: what the servers can do, several
// lives of the program, and what goes wrong in them. One thing happens at a time,
// in an order that comes from the seed too (see voyage.Turns), so that a seed is a
// history, always the same; TestReplay holds it to that. POPFERRY_SEED plays a
// single one and tells it, POPFERRY_HISTORIES says how many, and POPFERRY_FIRST
// where to begin.
//
// They are built without the race detector only: with it the scheduler chooses at
// random, so that no history comes back, and go-imap (beta.8) reads a literal again
// whose end by a lost connection it has told its reader of.
//
// TestModel is the exhaustive counterpart: a small world, in which the program dies
// or loses a connection at every step, and with POPFERRY_PAIRS=all at every pair of
// steps of two lives. TestTwoRunners has two programs meet in the same world.
package sim
