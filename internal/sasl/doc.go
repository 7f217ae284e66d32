// Package sasl signs in by SASL (RFC 4422), the same way over POP3 (RFC 5034) and
// IMAP (RFC 3501 §6.2.2): it chooses a mechanism and says what to answer. The
// commands around it, and the connection, are the protocols' own.
//
//	Credentials.Choose  the mechanisms worth a try, the strongest first
//	Credentials.Begin   a Dialogue by one of them
//	Dialogue.Initial    the initial response, if the mechanism has one (RFC 4959)
//	Dialogue.Answer     the answer to a challenge, or that it must be cancelled
//	Dialogue.Accepted   whether a server that says OK may be believed
//	Dialogue.Refused    what the mechanism itself has to say about a refusal
//
// A server gets no more than the mechanism gives it: after an unusable challenge
// the dialogue says nothing more. With SCRAM (RFC 5802) the server has to prove
// that it knows the password too.
//
// Where a certificate was shown, EXTERNAL names the mailbox, so that the server does not
// choose it by the certificate. A password is for a connection without one, if EXTERNAL was
// refused ([AfterExternal]), or is not offered and the certificate names another
// ([Credentials.BesideAnother]).
//
// SCRAM is used without channel binding: a server that announces it does not say
// which kind it understands, and a wrong guess looks like a wrong password.
package sasl
