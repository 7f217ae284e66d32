// Package page shows what a bridge does to people and to programs, over HTTP.
//
// [New] makes the handler: an overview of the accounts, a page for each of them, and the
// same figures as Prometheus metrics, as JSON, and as one word for health checks. All
// of it comes from a [bridge.Snapshot] and from the history of passes. Nothing can be
// done from the pages, only seen; they work without JavaScript, which only spares the
// reader the reloading. [Listen] and [Serve] bring the handler to a port, within bounds,
// so that nobody who floods it hurts the carrying of mail.
//
// What it does not show: subjects, senders, or anything else of a message than its UIDL
// and its size.
package page
