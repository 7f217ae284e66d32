// Package places shares among accounts what there is too little of: the slots of limits.accounts,
// and the connections that servers take at once. It keeps who waits for a server from keeping
// others waiting. It knows no mail and no protocol, and asks nobody but those who hold something.
//
//   - [Slots] bounds how many accounts are at work. A [Slot] whose servers are quiet is lent to
//     those that wait. It feels what moves on the connections of its account (pulse), and knows
//     since when the account has what others may wait for (tenure).
//   - [Hosts] counts connections by place: a server, a user, a folder ([Source], [User], [Slow]
//     name some). Who waits has a place as soon as one is free, in turn; and whoever holds one
//     ([Holder]) is asked to yield it, by a [Wish] that says what for.
//   - [Kept] connections are those of nobody for now: they give way to whoever needs the place.
//   - [Standing] remembers which accounts a server left standing of late: these share half of its
//     connections.
//   - [Gates] keeps those who were thrown out by an outage from coming back all at once.
package places
