// Package limits keeps what an admin permits, or a provider is known to: how fast mail is
// carried, at what hours, and how many octets of it in a day. It knows no mail and no protocol, and
// waits for nothing: it says how long to wait, or that the rest is for another run ([ErrLater]).
//
//   - [Rates] are octets a second and messages a minute, over all accounts and of single hosts.
//     [Brakes] are those that count for one account, and each of them asks for a [Wait].
//   - [InHours] reports a time at which nothing is to be carried.
//   - [Budgets] are octets a day, of each user of a host, whose accounts may be several.
//     [Purses] are those of one account. What they spend is written into [Books] before it is
//     spent: who is killed has spent less than these say.
package limits
