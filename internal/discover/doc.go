// Package discover finds the mail servers of an address: where they are, whether
// they speak TLS first, and what the owner logs in with.
//
// [Finder.Find] asks, in this order, and stops as soon as all that was wanted is
// known:
//
//  1. the table of large providers (package provider), which needs no network;
//  2. the SRV records of the address's domain (RFC 6186, RFC 8314 §5.1);
//  3. the autoconfiguration that Mozilla defined: at the domain, then in a database;
//  4. the domain's MX record, which often names a provider of the table;
//  5. guesses such as pop.example.org, of which only one that answers counts.
//
// What the network says is not to be trusted: DNS can be forged, a web server may
// send anything. So every answer is bounded in size and time, names are checked
// before they are used, plain http and unprotected servers are refused, and a
// server that is not in the table is connected to, once: its certificate has to fit
// its name. No password and no user name is ever sent.
//
// [Write] makes an accounts.yaml of what was found, each setting with its origin.
package discover
