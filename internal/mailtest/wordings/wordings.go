// Package wordings has what real POP3 and IMAP servers say when they refuse a login, and
// who has to do something about it.
package wordings

import "github.com/popferry/popferry/internal/fault"

// others are servers that do not say which they are.
const others = "others"

// Refusal is the text of one.
type Refusal struct {
	// Server says it.
	Server string
	// Text is what stands behind "-ERR", or the tag.
	Text string
	// Class is whether it passes by itself.
	Class fault.Code
}

// Bare are texts without a response code, or with one that says nothing: most servers say
// the same over POP3 and IMAP.
func Bare() []Refusal {
	return []Refusal{
		// The password, or whatever else a person has to mend.
		{"Dovecot", "Authentication failed.", fault.Credentials},
		{"Dovecot", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", fault.Credentials},
		{"Cyrus", "Login failed: authentication failure", fault.Credentials},
		{"Cyrus", "Login failed: generic failure", fault.Credentials},
		{"Cyrus", "Invalid login", fault.Credentials},
		{"Courier", "Login failed.", fault.Credentials},
		{"Exchange", "Logon failure: unknown user name or bad password.", fault.Credentials},
		{"Exchange", "AUTHENTICATE failed.", fault.Credentials},
		{"Exchange", "Command is not valid in this state.", fault.Credentials},
		{"Exchange", "User is authenticated but not connected.", fault.Credentials},
		{"Zimbra", "invalid username/password", fault.Credentials},
		{"Zimbra", "LOGIN failed", fault.Credentials},
		{"cPanel", "[ALERT] LOGIN DENIED -- EXCESSIVE FAILURES -- IP TEMP BANNED", fault.Credentials},
		{"cPanel", "[ALERT] LOGIN DENIED -- COUNTRY IS BLACKLISTED", fault.Credentials},
		{others, "account is not active", fault.Credentials},
		{"qpopper", `Password supplied for "alice" is incorrect.`, fault.Credentials},
		{"popa3d", "Authentication failed (bad password?)", fault.Credentials},
		{"UW ipop3d", "Bad login", fault.Credentials},
		{"qmail-pop3d", "authorization failed", fault.Credentials},
		{"qmail-pop3d", "this user has no $HOME/Maildir", fault.Credentials},
		{"hMailServer", "Invalid user name or password.", fault.Credentials},
		{"hMailServer", "Invalid user name or password. Too many invalid logon attempts.", fault.Credentials},
		{"PowerMail", "Invalid credentials (wrong username or password?)", fault.Credentials},
		{"Free", "Invalid login or password", fault.Credentials},
		{"Gmail", "Username and password not accepted.", fault.Credentials},
		{"Gmail", "[ALERT] Invalid credentials (Failure)", fault.Credentials},
		{"Gmail", "[ALERT] Application-specific password required", fault.Credentials},
		{"Gmail", "[ALERT] Please log in via your web browser (Failure)", fault.Credentials},
		{"Gmail", "[ALERT] Your account is not enabled for IMAP use.", fault.Credentials},
		{"Yahoo", "(#MBR1212) Incorrect username or password.", fault.Credentials},
		{"AOL", "Too many bad auth attempts", fault.Credentials},
		{"Yandex", "login failure or POP3 disabled, try later. sc=HtjJitcPRuQ1", fault.Credentials},
		{"Yandex", "LOGIN Invalid credentials or IMAP is disabled sc=ebI8JB0ug4Y1", fault.Credentials},
		{"Mail.ru", "Application password is REQUIRED", fault.Credentials},
		{"QQ", "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, " +
			"or system is busy. More information at https://help.mail.qq.com/detail/108/1023", fault.Credentials},
		{others, "Login fail. Password is incorrect or service is not open. Please try again later.", fault.Credentials},
		{"QQ", "Please using authorized code to login. More information at " +
			"http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256", fault.Credentials},
		{"QQ", "Authorized code is incorrect", fault.Credentials},
		{"163", "LOGIN Login error password error", fault.Credentials},
		{"126", "LOGIN Login error or password error", fault.Credentials},
		{"163", "Unable to log on", fault.Credentials},
		{"163", "Unsafe login. Please contact kefu@188.com for help", fault.Credentials},
		{"IONOS", "authentication failed", fault.Credentials},
		{"GoDaddy", "warning: auth_error: authorization failed (authorization failed wrong password)", fault.Credentials},
		{others, "Username and Password not accepted. Please try again.", fault.Credentials},
		{"Zoho", "You are yet to enable IMAP for your account. Please contact your administrator.", fault.Credentials},
		{"Zoho", "You are yet to enable POP for your account. Please contact your administrator.", fault.Credentials},
		{others, "Authentication failed, please check your username and password and try again", fault.Credentials},
		{others, "account is SUSPENDED. Call for assistance.", fault.Credentials},
		{"Active Directory", "The user account has been automatically locked because too many invalid logon attempts " +
			"or password change attempts have been requested.", fault.Credentials},
		{others, "Account locked", fault.Credentials},
		{others, "Login locked after 5 tries", fault.Credentials},
		{others, "Your IP is blocked after too many failed attempts, try again in 15 minutes", fault.Credentials},
		{others, "Too many login attempts", fault.Credentials},
		{others, "Maximum number of login attempts exceeded", fault.Credentials},
		{others, "Incorrect password, or the server is temporarily unavailable", fault.Credentials},
		{others, "Login failed, please try again later", fault.Credentials},
		{others, "login of busy.lock@example.org failed", fault.Credentials},
		{others, "authentication failed for user lock", fault.Credentials},

		// What passes: the server, or how often and how many at a time.
		{"Dovecot", "Temporary authentication failure. [mail.example.org:2026-01-02 03:04:05]", fault.Temporary},
		{"Dovecot", "Internal login failure. Refer to server log for more information.", fault.Temporary},
		{"Dovecot", "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", fault.Temporary},
		{"Cyrus", "Login failed: remote authentication server unavailable", fault.Temporary},
		{"Cyrus", "Unable to lock maildrop", fault.Temporary},
		{"Cyrus", "Mailbox is locked by POP server", fault.Temporary},
		{"Courier", "Temporary problem, please try again later", fault.Temporary},
		{"Courier", "Server out of memory, aborting connection.", fault.Temporary},
		{others, "Maximum connection limit reached for 192.0.2.1", fault.Temporary},
		{"Exchange", "Connection is closed. 14", fault.Temporary},
		{"Exchange", "Server Unavailable. 15", fault.Temporary},
		{"Exchange", "Request is throttled. Suggested Backoff Time: 29961 milliseconds", fault.Temporary},
		{"Outlook.com", "Exceeded the login limit for a 15 minute period. Reduce the frequency of requests to the POP3 " +
			"server.", fault.Temporary},
		{"Vodafone (Germany), TalkTalk", "Account is temporarily unavailable", fault.Temporary},
		{others, "account is in maintenance mode", fault.Temporary},
		{"qpopper", "/var/mail/.alice.pop lock busy!  Is another session active? (11)", fault.Temporary},
		{"popper", "Maildrop lock busy!  Is another session active?", fault.Temporary},
		{"UW ipop3d", "Can't get lock.  Mailbox in use", fault.Temporary},
		{"UW ipop3d", "Can't get lock.  Try again or use IMAP instead", fault.Temporary},
		{"qmail-pop3d", "aack, child crashed", fault.Temporary},
		{"qmail-pop3d", "unable to scan $HOME/Maildir", fault.Temporary},
		{"hMailServer", "Your mailbox is already locked", fault.Temporary},
		{"Solid POP3", "can't lock mailbox file", fault.Temporary},
		{"Solid POP3", "can't set lock on mailbox", fault.Temporary},
		{others, "cannot lock mailbox", fault.Temporary},
		{others, "Mail drop is locked", fault.Temporary},
		{others, "mailbox has been locked by another", fault.Temporary},
		{others, "Your mailbox is being locked, please wait", fault.Temporary},
		{others, "spool file is locked, try again later", fault.Temporary},
		{others, "cannot open mailbox: file locked", fault.Temporary},
		{others, "database is locked", fault.Temporary},
		{"VPOP3", "Mailbox Locked", fault.Temporary},
		{"RFC 1939", "maildrop already locked", fault.Temporary},
		{"nginx", "internal server error", fault.Temporary},
		{"XMail", "Sorry, I'm too busy right now", fault.Temporary},
		{others, "Backend server temporarily unavailable", fault.Temporary},
		{"Gmail", "[ALERT] Too many simultaneous connections. (Failure)", fault.Temporary},
		{"Gmail", "[ALERT] Account exceeded command or bandwidth limits. (Failure)", fault.Temporary},
		{"Gmail", "System Error (Failure)", fault.Temporary},
		{"Gmail", "Temporary system problem. Please try again later.", fault.Temporary},
		{"Yahoo", "Server error - Please try again later", fault.Temporary},
		{"Yahoo", "LOGIN Rate limit hit", fault.Temporary},
		{"QQ", "System busy!", fault.Temporary},
		{"QQ", "Login frequency limited", fault.Temporary},
		{"163", "Too many concurrent connections", fault.Temporary},
		{others, "User already logged in", fault.Temporary},
		{others, "There is already an active session for this user", fault.Temporary},
		{others, "sorry, system maintenance in progress", fault.Temporary},
		{others, "Your account is locked by another session", fault.Temporary},
		{others, "Login failed: too many sessions", fault.Temporary},
		{others, "Account temporarily locked", fault.Temporary},
		{others, "can't verify the password, system busy", fault.Temporary},
		{others, "please wait", fault.Temporary},

		// What no password helps, nor time.
		{"Solid POP3", "message is damaged", fault.Refused},
		{"Solid POP3", "mailbox is damaged", fault.Refused},
		{"Solid POP3", "can't open mailbox file", fault.Refused},
		{"Solid POP3", "can't open maildir", fault.Refused},
		{"Solid POP3", "mailbox is not regular file", fault.Refused},
		{others, "Unable to open maildrop", fault.Refused},
		{others, "Mailbox is corrupted", fault.Refused},
		{others, "Disk quota exceeded", fault.Refused},
		{others, "Mailbox is full", fault.Refused},
	}
}

// POP3 are texts with a response code that counts more than the words (RFC 2449 §8, RFC
// 3206 §4).
func POP3() []Refusal {
	return []Refusal{
		{"Yandex", "[AUTH] login failure or POP3 disabled, try later. sc=HtjJitcPRuQ1", fault.Credentials},
		{"Gmail", "[AUTH] Web login required: https://support.google.com/mail/answer/78754", fault.Credentials},
		{"Gmail", "[SYS/PERM] Your account is not enabled for POP access.", fault.Refused},
		{"Gmail", "[SYS/TEMP] Temporary system problem. Please try again later.", fault.Temporary},
		{"Yahoo", "[SYS/TEMP] Server error - Please try again later.", fault.Temporary},
		{"Dovecot", "[IN-USE] Temporary authentication failure.", fault.Temporary},
		{"Cyrus", "[AUTH] Invalid login", fault.Credentials},
	}
}

// IMAP are texts with the kind of the answer and a response code (RFC 5530 §3).
func IMAP() []Refusal {
	return []Refusal{
		{"Dovecot", "NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", fault.Temporary},
		{"Dovecot", "NO [AUTHENTICATIONFAILED] Authentication failed.", fault.Credentials},
		{"Yahoo", "NO [LIMIT] LOGIN Rate limit hit.", fault.Temporary},
		{"Gmail", "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", fault.Temporary},
		{"AOL", "NO [AUTHENTICATIONFAILED] Too many bad auth attempts", fault.Credentials},
		{"Exchange", "BAD User is authenticated but not connected.", fault.Credentials},
		{"Exchange", "BAD Request is throttled. Suggested Backoff Time: 29961 milliseconds", fault.Temporary},
		{"nginx", "BAD internal server error", fault.Temporary},
		{"Exchange", "BAD Command Argument Error. 12", fault.Protocol},
		{others, "BAD [AUTHENTICATIONFAILED] no", fault.Credentials},
		{others, "BAD invalid password", fault.Credentials},
		{"163", "BYE Too many concurrent connections", fault.Temporary},
		{others, "BYE Invalid credentials", fault.Credentials},
		{others, "BYE Session terminated", fault.Temporary},
	}
}
