// Package bridge keeps accounts carried: the pass of every account, again and again, for
// years, with nobody looking.
//
// [Bridge.Start] makes one keeper for each account, which passes, and waits, and passes. How
// long it waits is its pace ([pace], which is pure): the interval, less while mail
// flows, more while something fails, and long where a server refuses the credentials,
// since hammering it would lock the account. An account that stalls or fails delays no
// other. What the keepers know is in a [Snapshot], for the status page, for metrics and
// for alerts; [Bridge.Changed] tells when there is a new one.
//
// The passes themselves are those of internal/ferry: a bridge can be killed at any
// moment, and the next one goes on where it was.
package bridge
