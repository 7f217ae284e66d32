package sasl

import (
	"slices"
	"strings"
	"unicode"

	"github.com/popferry/popferry/internal/fault"
)

// NotConnectedHint says what to check where a refusal is [NotConnected].
const NotConnectedHint = "the login is right, but the mailbox can't be opened; open it in Outlook on the web as this " +
	"user: if that works, have POP and IMAP switched on for it, else check its licence and the rights on it"

// NotConnected tells Exchange's refusal of who is logged in and has no mailbox to open. It
// says so of any command, as -ERR, NO or BAD.
func NotConnected(text string) bool {
	return strings.Contains(strings.ToLower(text), "authenticated but not connected")
}

// Judge reads the refusal of a login that has no code to say why: Credentials where a
// person has to mend what was given or is switched off, Refused where the mailbox is full
// or can't be read, Temporary where the right password would have been refused, too, and later is not. 0
// means that the words do not tell, which a wrong password is the likely cause of.
//
// Where words of both kinds are in one text, it is the password: who takes a refused one
// for passing trouble tries it until the account is locked.
func Judge(text string) fault.Code {
	says := phrasesIn(text)
	switch {
	case NotConnected(text), says(refusedPhrases):
		return fault.Credentials
	case inUse(says):
		return fault.Temporary
	case says(barredPhrases) && !says(untilPhrases):
		return fault.Credentials
	case says(passingPhrases), says(troublePhrases), says(lockPhrases):
		return fault.Temporary
	case says(fullPhrases), says(unreadablePhrases):
		return fault.Refused
	case says(againPhrases) && !says(doubtPhrases):
		return fault.Temporary
	}
	return 0
}

// Full reports words that say that the mailbox has no room left, or the server.
func Full(text string) bool { return phrasesIn(text)(fullPhrases) }

// Unreadable reports words that say that the mailbox, or a message in it, is broken: some
// servers look through it while they log in.
func Unreadable(text string) bool { return phrasesIn(text)(unreadablePhrases) }

// Busy reports words about a server that has no time now, whatever it was asked. Trouble of
// its own is none of these: it may have that with one message, each time.
func Busy(text string) bool {
	says := phrasesIn(text)
	return says(passingPhrases) || says([]string{"try again", "again later"})
}

// BlamesLogin reports words that say that what was given to log in with is wrong.
func BlamesLogin(text string) bool { return phrasesIn(text)(refusedPhrases) }

// InUseHint says what to check where a mailbox is [InUse].
const InUseHint = "another session has the mailbox open, or an earlier one of ours that was cut: close other mail programs " +
	"for it, POP3 ones too, and try again in 10 minutes"

// InUse tells from the refusal of any command, which has no code to say why, that another
// session has the mailbox locked: later it is not.
func InUse(text string) bool {
	says := phrasesIn(text)
	return inUse(says) || says(lockPhrases)
}

func inUse(says func(phrases []string) bool) bool {
	return says(sessionPhrases) || says([]string{"locked"}) && says(storePhrases) && !says(accountPhrases)
}

// phrasesIn finds phrases where words begin: "blocked" does not say "lock". Whatever
// stands between words counts as one blank. Addresses are the user's words.
func phrasesIn(text string) func(phrases []string) bool {
	words := slices.DeleteFunc(strings.Fields(strings.ToLower(text)), isAddress)
	said := " " + strings.Join(strings.FieldsFunc(strings.Join(words, " "), isNoWord), " ") + " "
	return func(phrases []string) bool {
		return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(said, " "+p) })
	}
}

func isAddress(word string) bool { return strings.Contains(word, "@") }

func isNoWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

var (
	// refusedPhrases say that what was given is wrong, that it was wrong before, or that
	// somebody has to switch something on.
	refusedPhrases = []string{
		"wrong pass", "bad pass", "invalid pass", "incorrect pass", "password incorrect", "password is incorrect",
		"password wrong", "password is wrong", "password invalid", "password is invalid", "password error",
		"password mismatch", "password does not", "password supplied for", "password expired", "password has expired",
		"password is expired", "password must", "change your password",
		"wrong user", "bad user", "invalid user", "incorrect user", "unknown user", "no such user", "user unknown",
		"user not found", "no such account", "account is abnormal",
		"wrong login", "bad login", "invalid login", "incorrect login", "login incorrect", "login invalid",
		"invalid logon", "bad auth attempt", "wrong credential", "bad credential", "invalid credential",
		"incorrect credential", "credentials invalid", "credentials incorrect", "credentials are",
		"service is not open", "service not open", "not enabled", "not been enabled", "not activated", "yet to enable",
		"pop disabled", "pop3 disabled", "pop is disabled", "pop3 is disabled", "imap disabled", "imap is disabled",
		"access disabled", "access is disabled", "app password", "application password", "application specific",
		"authorization code", "authorized code", "web login", "web browser",
		"failed login attempt", "failed logon attempt", "failed attempt", "failed auth attempt",
		"failed authentication attempt", "failed logins", "login failures", "authentication failures", "auth failures",
		"unsuccessful attempt", "unsuccessful log",
	}
	// sessionPhrases are about another session and a locked mailbox, not a locked account.
	sessionPhrases = []string{
		"another session", "other session", "another pop", "another process", "another client", "another connection",
		"andere sitzung", "anderen sitzung", "andere verbindung", "bereits verwendet", "bereits in benutzung",
		"active session", "session active", "already logged", "already locked", "in use",
		"mailbox locked", "mailbox is locked", "mailbox currently locked", "mailbox is currently locked",
		"maildrop locked", "maildrop is locked", "maildrop is currently locked",
	}
	// storePhrases are what is locked for a while, accountPhrases what somebody has to unlock.
	storePhrases   = []string{"mailbox", "mail box", "mail drop", "maildrop", "spool", "file", "database"}
	accountPhrases = []string{"account", "user", "login", "ip"}
	// barredPhrases are about an account, unless untilPhrases say that it is for a while.
	barredPhrases = []string{
		"locked", "lockout", "blocked", "banned", "blacklist", "disabled", "suspended", "deactivated", "inactive",
		"account closed", "account is closed", "account has been closed",
	}
	untilPhrases = []string{"temporar", "maintenance"}
	// passingPhrases are about the server, or how often or how many at a time.
	passingPhrases = []string{
		"temporar", "busy", "unavailable", "service not available", "service is not available",
		"server is not available", "maintenance", "overload", "server not available", "timed out", "timeout", "shutting down",
		"connection is closed",
		"too many connection", "too many simultaneous", "too many concurrent", "too many open", "too many session",
		"too many users", "too many clients", "maximum number of connection", "maximum number of session",
		"maximum number of simultaneous", "maximum number of concurrent", "maximum connection", "maximum session",
		"connection limit", "session limit", "throttl", "bandwidth", "rate limit", "login limit", "login interval",
		"login frequency", "login delay", "minimum time", "too frequent", "too often",
		"zu viele verbindung", "zu viele gleichzeitig", "zu viele sitzung", "vorübergehend",
	}
	// troublePhrases are about what went wrong inside the server.
	troublePhrases = []string{
		"server error", "system error", "system problem", "internal error", "internal server error",
		"internal failure", "internal login failure", "out of memory", "child crashed", "unable to scan",
	}
	// lockPhrases are about a lock that could not be had.
	lockPhrases = []string{
		"to lock", "cannot lock", "not lock", "t lock", "get lock", "for lock", "lock busy", "lock on", "mailbox lock",
		"maildrop lock", "maillock", "exclusive access", "exclusive lock",
	}
	// fullPhrases are about room that is lacking, in some languages. Chinese has no blanks.
	fullPhrases = []string{
		"over quota", "overquota", "quota exceeded", "exceeded quota", "exceeds quota", "exceeded the quota",
		"exceeded its quota", "exceeded your quota", "out of quota", "mailbox full", "mailbox is full",
		"no space left", "insufficient disk", "insufficient space", "insufficient storage", "not enough space",
		"not enough disk", "not enough storage", "out of disk", "out of space", "disk full", "disk is full",
		"storage full", "storage is full",
		"postfach voll", "postfach ist voll", "speicherplatz", "postbus vol",
		"espace disque insuffisant", "espace insuffisant", "boîte pleine", "boite pleine",
		"buzón lleno", "espacio insuficiente", "casella piena", "spazio insufficiente",
		"превышена квота", "квота превышена", "ящик переполнен", "недостаточно места",
		"空间不足", "邮箱空间不足", "存储空间不足", "邮箱已满", "邮箱空间已满",
	}
	// unreadablePhrases are about mail that the server can't read, which stays so until
	// somebody mends it.
	unreadablePhrases = []string{
		"is damaged", "damaged m", "is corrupt", "are corrupt", "corrupt m", "corrupted m",
		"t open mailbox", "t open maildir", "t open maildrop", "not open mailbox", "not open maildir", "not open maildrop",
		"to open mailbox", "to open maildir", "to open maildrop", "not regular file",
	}
	// againPhrases ask to come again, which doubtPhrases make mere politeness.
	againPhrases = []string{
		"try again", "again in", "again after", "later", "wait", "too many", "exceed", "idle", "autologout", "inactivity",
	}
	doubtPhrases = []string{
		"password", "credential", "incorrect", "invalid", "unknown", "denied", "reject", "fail", "attempt",
	}
)
