// Package check looks at both servers of every account before the first run, and
// says of what is wrong what a person should look at first.
//
// [Run] logs in to each side once, several accounts at a time, and writes nothing:
// POP3 is asked CAPA, STAT, LIST and UIDL, IMAP is asked LIST, EXAMINE, STATUS and
// for its quotas. A login that was refused is not tried again, neither for this
// account nor for another with the same one, since servers lock out who insists.
//
// What is found is in three parts, each a [Finding] with symptom, likely cause and
// first thing to check:
//
//	problems  a side that can't be used; they decide the exit status
//	warnings  what will go wrong soon, or would with more mail, or isn't safe
//	notes     what is good to know, such as a folder that a run will make
//
// The knowledge is data: [Topics] are what people meet, rules say which errors mean
// which topic, and some topics have no rule, since no protocol shows them: they are
// there to be found with [Explain].
package check
