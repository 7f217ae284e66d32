package check

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/sasl"
)

// Topic is something that people meet, why it mostly happens, and what to look at
// first.
type Topic struct {
	// Name is how it is asked for: "app-password".
	Name string `json:"topic"`
	// Symptom is what is seen, in the words of whoever sees it.
	Symptom string `json:"symptom"`
	Cause   string `json:"cause"`
	Check   string `json:"check"`
	// Words are further words that people look for it by.
	Words string `json:"-"`
	// Fails is what does not work, in words that people say "not" or "can't" to.
	Fails string `json:"-"`
}

// maxExplained is how many topics an answer has.
const maxExplained = 3

// Explain finds topics by their name or, most fitting first, by what somebody says
// in words of their own.
func Explain(asked string) []Topic {
	name := strings.ToLower(strings.Join(strings.Fields(asked), "-"))
	for _, t := range topics {
		if t.Name == name {
			return []Topic{t}
		}
	}
	if t, ok := answered(asked); ok {
		return []Topic{t}
	}
	scores := scoresOf(wordsOf(asked))
	if name := pasted(asked); name != "" {
		scores[name] += pastedScore
	}
	for _, name := range denied(asked) {
		scores[name] += deniedScore
	}
	found := slices.DeleteFunc(Topics(), func(t Topic) bool { return scores[t.Name] == 0 })
	slices.SortStableFunc(found, func(a, b Topic) int { return cmp.Compare(scores[b.Name], scores[a.Name]) })
	for i, t := range found {
		if i == maxExplained || 2*scores[t.Name] <= scores[found[0].Name] {
			return found[:i]
		}
	}
	return found
}

// answered is the topic of what an OAuth provider answered, with what to do about just that.
func answered(text string) (Topic, bool) {
	advice := oauth.Advice(text)
	t := topic(pasted(text))
	t.Check = advice
	return t, advice != ""
}

// Topics lists all that can be explained.
func Topics() []Topic { return slices.Clone(topics) }

// What a word is worth in a topic's name, symptom and own words, and in the rest of
// it; it is shared by all topics that have the word there.
const (
	titleScore  = 600
	restScore   = 60
	pastedScore = 2000 // a server's own words are no coincidence
	deniedScore = 1000 // what is said not to work is what is asked about
)

// title is the words that people look for a topic by. Of a name, what only denies does not
// count: starttls-missing is nothing for who misses mail.
func (t Topic) title() []string {
	name := slices.DeleteFunc(wordsOf(t.Name), isDenial)
	return append(name, wordsOf(t.Symptom+" "+t.Words)...)
}

// scoresOf says how well the topics fit some words.
func scoresOf(words []string) map[string]int {
	scores := map[string]int{}
	for _, w := range words {
		var inTitle, inRest []string
		for _, t := range topics {
			switch {
			case slices.ContainsFunc(t.title(), alike(w)):
				inTitle = append(inTitle, t.Name)
			case slices.ContainsFunc(wordsOf(t.Cause+" "+t.Check), alike(w)):
				inRest = append(inRest, t.Name)
			}
		}
		for _, name := range inTitle {
			scores[name] += titleScore / len(inTitle)
		}
		for _, name := range inRest {
			scores[name] += restScore / len(inRest)
		}
	}
	return scores
}

// denials are words by which something does not work, and turns end the part of a sentence
// that they are about.
var (
	denials = strings.Fields(`not no none never nothing cant cannot couldnt dont doesnt didnt wont unable
		impossible fail fails failed failing missing`)
	turns = strings.NewReplacer("'", "", "’", "", " but ", ".", " although ", ".", " while ", ".", ",", ".", ";", ".")
	// pairs are two words that mean something else than each of them.
	pairs = strings.NewReplacer("log in", "login", "log on", "login", "sign in", "login", "sign-in", "login", "new mail",
		"newmail", "new email", "newmail", "new e-mail", "newmail", "new message", "newmail")
)

// denied finds the topics of what a text says does not work: "can send but not receive"
// says so of receiving.
func denied(text string) (names []string) {
	for part := range strings.SplitSeq(pairs.Replace(turns.Replace(strings.ToLower(text))), ".") {
		words := strings.FieldsFunc(part, isNoLetter)
		at := slices.IndexFunc(words, isDenial)
		if at < 0 {
			continue
		}
		failing := failingIn(words[at:])
		if len(failing) == 0 { // "sending does not work"
			failing = failingIn(words[:at])
		}
		names = append(names, failing...)
	}
	return names
}

func isDenial(word string) bool { return slices.Contains(denials, word) }

// failingIn are the topics that are about one of the words not working.
func failingIn(words []string) (names []string) {
	for _, t := range topics {
		if slices.ContainsFunc(strings.Fields(t.Fails), func(what string) bool {
			return slices.ContainsFunc(words, alike(what))
		}) {
			names = append(names, t.Name)
		}
	}
	return names
}

// leastPasted is how long words have to be to be a server's, and no ordinary ones.
const leastPasted = 8

// pasted finds the topic of a server's words.
func pasted(text string) string {
	text = strings.ToLower(text)
	for _, r := range rules {
		if slices.ContainsFunc(r.texts, func(words string) bool {
			return strings.Contains(text, words) && (len(words) >= leastPasted || strings.HasPrefix(words, "aadsts"))
		}) || r.hasNumberOf(text) {
			return r.topic
		}
	}
	return said(text)
}

// sayings are what other programs say, and people of them, where our own errors have a type.
var sayings = []struct {
	topic string
	texts []string
}{
	{"proxy", []string{"proxy does not connect", "through the proxy"}},
	{"certificate-name", []string{"certificate does not match", "certificate doesn't match", "match the certificate",
		"certificate mismatch", "certificate name mismatch", "certificate is for another", "certificate for another"}},
	{"unknown-host", []string{"no such host", "host not found", "server not found", "find the server", "find server",
		"name or service not known", "nodename nor servname"}},
	{"dns", []string{"name server does not", "temporary failure in name resolution"}},
	{"timeout", []string{"server does not answer", "server doesn't answer", "not respond", "no response"}},
	{"namespace", []string{"nonexistent namespace", "invalid mailbox name", "not allowed in mailbox name"}},
	{"folder-refused", []string{"[trycreate]", "[nonexistent]"}},
	{"broken-protocol", []string{"error in imap command"}},
	{"login-refused", []string{"authentication fail", "authentication error", "authenticate failed", "authorization fail",
		"authentication data", "logon fail", "login fail", "login error", "login denied", "unable to log on",
		"password not accepted", "invalid username"}},
}

// said finds the topic of words that no rule is about: those of a refused login are read as
// a server's are.
func said(text string) string {
	for _, s := range sayings {
		if slices.ContainsFunc(s.texts, func(words string) bool { return strings.Contains(text, words) }) {
			if s.topic == "login-refused" && sasl.Judge(text) == fault.Temporary {
				return "server-trouble"
			}
			return s.topic
		}
	}
	if sasl.BlamesLogin(text) {
		return "login-refused"
	}
	return ""
}

// alike compares words without the ends that grammar gives them.
func alike(w string) func(string) bool {
	return func(other string) bool { return stem(w) == stem(other) }
}

func stem(w string) string {
	for _, end := range []string{"ing", "ed", "es", "s"} {
		if short, ok := strings.CutSuffix(w, end); ok && len(short) > 2 {
			return short
		}
	}
	return w
}

// fillers are words that say nothing about the trouble.
var fillers = strings.Fields(`a after an and any are as at be but by can cant could do does dont email emails for
	from get has have i if in is it its mail mails me migrated migration my not of on only or our so that the
	their them there they this to was we what when who why will with you your`)

func wordsOf(text string) []string {
	words := strings.FieldsFunc(strings.ReplaceAll(strings.ToLower(text), "'", ""), isNoLetter)
	return slices.DeleteFunc(words, func(w string) bool { return slices.Contains(fillers, w) })
}

func isNoLetter(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
