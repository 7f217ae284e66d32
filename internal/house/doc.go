// Package house holds no code: its tests keep the tree in order. They check
// which package may import which, that the protocol libraries stay behind their
// one door, what may stand at the top level, and that every error has a hint.
//
// Data flows one way, so imports do too: a package may import those of lower
// levels, and of its own level only what the table in the test says.
package house
