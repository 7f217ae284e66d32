package main

// intro is the text of docs/interop.md before the tables.
const intro = `# Between real servers

Every pair of Debian's POP3 and IMAP servers, with ordinary mail (40 messages, as a mailbox has
them) and with hard mail (298 messages of the kinds that have broken mail programs before).
"make interop" runs it and compares the result with this one; "make interop KEEP=-keep" writes
this page and interop.json anew. It needs root and Debian, and up to half an hour; the servers that
can't be installed beside each other are unpacked and run in private namespaces, on loopback only.

What arrived is read from the servers' own files. A plain POP3 reader witnesses what a source serves
of what lies in its store, and a recorder on the line what popferry sends. So a message that differs
has one culprit:

- **altered by the source**: it lies in the store, and is served otherwise;
- **fields added**: there as it was served, but for the fields in which servers over mail spool files
  keep their state (Status, X-UID, X-IMAPbase, X-UIDL, X-Keywords);
- **restored**: there as it lies in the source's store, although the source served it otherwise;
- **altered by the destination**: sent as it was served, and stored otherwise;
- **altered by popferry**: sent, and neither served nor in the source's store;
- **held**: the destination refuses it; it stays on POP3, and the exit status is 65;
- **lost**, **twice**: neither there nor held, or there too often.

Lines are compared with CRLF at their ends and NUL as 0x80. "Second run" is the same command again,
"without journal" a third with an empty --state. What differs in the destination so much that it
can't be recognised is copied again by that one, and only by that one: what is left of it in the
server's answers is not the message any more.

## What the servers do

Seen while making this, with Debian 12's packages:

| server | what it does |
|---|---|
| Dovecot POP3, Courier POP3 | do not double a dot that begins a message; popferry restores it |
| Dovecot IMAP | shows NUL as 0x80; its files keep it |
| Cyrus POP3 | ends a line at a NUL |
| Cyrus IMAP | refuses NUL and malformed headers; replaces each 8-bit octet of a header by X (munge8bit); knows no Message-ID behind a thousand fields |
| Courier IMAP | drops CRs that are no line end; refuses to append to a folder that is open read-only; with Gamin it sometimes waits for ever; serves only the beginning of deeply nested mail, whose file has all of it |
| popa3d | serves the ">" that mail spool files have before "From "; has no CAPA; adds an empty line where a message has no body |
| mailutils POP3 | gives the header only when RETR follows TOP in a session; changes sizes, fields and UIDLs between sessions; lists fewer messages than there are; dies at one of the hard messages |
| mailutils IMAP | loses what is appended to an empty INBOX that is open for writing, but for the first message; cuts lines at NUL, and often the body with them; folds headers anew; puts ">>From " into the middle of some long messages, and announces twice their size when it is asked for them again; dies at some hard messages |

What lies in the stores: Maildir files for Dovecot and Courier, spool files with CRLF for Cyrus,
which leaves out an empty one, and mail spool files (mbox) for the others. Lines of such a file that
begin with "From " have got a ">", as delivery agents do; that alone is why popa3d is said to alter
ordinary mail.
`
