package popd

// Gmail behaves as Gmail's POP3: a session lists the oldest 250 messages that were not
// fetched yet, and what is retrieved in one that ends with QUIT is hidden from all later
// ones. TOP hides nothing, nor does a connection that is lost.
func Gmail() Options { return Options{Page: 250, HideFetched: true} }

// Exchange behaves as the POP3 of Exchange Online: signing in takes a token, in two lines;
// there is no PIPELINING, and sizes are estimates.
func Exchange(token func(user, token string) bool) Options {
	greeting := func(cmd string, _ int) ([]byte, bool) {
		return []byte("+OK The Microsoft Exchange POP3 service is ready.\r\n"), cmd == "GREETING"
	}
	return Options{Token: token, TwoLineAuth: true, NoPipelining: true, SizeOffset: 37, Reply: greeting}
}
