// Package voyage sets up a small world in memory, POP3 maildrops, an IMAP
// server, a journal and the program that carries mail between them, and ends the
// program's life at any moment one likes.
//
// [New] makes a [World] from [Options]. [World.Run] is one life of the program: a
// whole ferry.Run over connections in memory. A [Life] numbers the moments of it,
// its steps: before and after each write to the journal, around each write to a
// server and at several places inside it, and before what a server says is heard.
// At the step that [Life.KillAt] chose the program dies as with SIGKILL: what it
// has written to a server still arrives there, nothing else ever leaves it, and
// nothing reaches its journal any more.
//
// What is true is told by the servers themselves: [World.Lost] and [World.Wrong] compare what
// they hold with all that was ever put into them.
//
// Nothing here depends on real time, so that all of it works inside a
// testing/synctest bubble, where the waits of a run cost nothing. Journals are
// in memory, see [Disk], or on disk with journal.Open.
package voyage
