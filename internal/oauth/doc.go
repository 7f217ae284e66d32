// Package oauth gets and keeps the tokens that mail servers take instead of passwords
// (OAuth 2.0, RFC 6749).
//
// A [Keeper] serves all endpoints of a run. [Keeper.Token] gives an access token that
// is good for a while yet, whoever asks and however many at once: one of them renews
// it, the others wait. [Keeper.Login] is what a person does once where the flow needs
// one: it leaves a refresh token in the store, from which access tokens are made.
//
// # Refresh tokens
//
// Providers may replace a refresh token whenever it is used, and some take the use of
// an old one for a theft and revoke all. So there is one file (or keyring entry) for
// each endpoint; a lock on it is held from reading the old one to writing the new
// one; and it is written once before the provider is asked, so that a full disk is
// found while the old one is still good. Between the provider's answer and the rename
// of the new file nothing else is done; a crash there leaves the old token, which
// most providers take once more.
//
// # Whom to trust
//
// Tokens and secrets go to the addresses in the configuration and nowhere else: a
// redirect is an error. What a provider says is bounded in size and time, and is
// hidden and escaped before it is shown. No error holds a secret.
package oauth
