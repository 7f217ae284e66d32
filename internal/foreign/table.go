package foreign

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sheet"
	"github.com/popferry/popferry/plan"
)

// readCSV reads a table whose columns are named like keys, or are Microsoft's.
func (l *List) readCSV(data []byte) error {
	table, err := sheet.Read(bytes.NewReader(data), sheet.OneLine)
	if err != nil {
		return err
	}
	keys, err := keysOf(table)
	if err != nil {
		return err
	}
	for _, row := range table.Rows {
		if row.Err != nil {
			l.add(row.Err)
			continue
		}
		a := &Account{Line: row.Line, microsoft: isMicrosofts(table)}
		for i, cell := range row.Cells {
			for _, key := range keys[i] {
				if own := table.Index(key); own < 0 || own == i || row.Cells[own].Text == "" { // else that column counts
					a.set(key, cell.Text)
				}
			}
			if len(keys[i]) == 0 && cell.Text != "" {
				a.leaveOut(table.Header[i].Text)
			}
		}
		l.Accounts = append(l.Accounts, a)
	}
	return nil
}

// leaveOut notes a value in a column that no key is for.
func (a *Account) leaveOut(column string) {
	if strings.EqualFold(column, "UserRoot") {
		a.note("UserRoot is not taken over: POP3 has no folders")
		return
	}
	a.note("column "+notTaken, fault.Escape(column))
}

// isMicrosofts reports a table as Microsoft's migration takes it.
func isMicrosofts(table *sheet.Sheet) bool { return table.Index("EmailAddress") >= 0 }

// columns are the keys that a column may begin with.
var columns = []string{"name", "source", "destination", "folder", "keep", "seen", "repair"}

func keysOf(table *sheet.Sheet) ([][]string, error) {
	keys := make([][]string, len(table.Header))
	for i, column := range table.Header {
		keys[i] = []string{column.Text}
		if known := plan.MicrosoftKeys[strings.ToLower(column.Text)]; isMicrosofts(table) && known != nil {
			keys[i] = known
			continue
		}
		first, _, _ := strings.Cut(column.Text, ".")
		switch {
		case slices.Contains(columns, first):
		case plan.IsMicrosofts(table) && !plan.LooksLikeKey(column.Text): // exports have more
			keys[i] = nil
			continue
		default:
			return nil, &Mistake{Line: column.Line, Column: column.Column, Text: "unknown column " +
				ordinal(i+1) + "; name the columns like keys (name, source.host, source.username, " +
				"source.password, destination.username), or as Microsoft does (EmailAddress, UserName, Password); " +
				"or leave the file as it is, and say what its columns are for with accounts_from: and template: " +
				"in accounts.yaml"}
		}
		if why := plan.WrongColumn(column.Text); why != "" {
			return nil, &Mistake{Line: column.Line, Column: column.Column, Text: "column " + ordinal(i+1) + ": " + why}
		}
	}
	return keys, nil
}

func ordinal(n int) string { return "number " + itoa(n) }

// readImapsync reads the list that imapsync's scripts loop over: host, user and
// password of both sides, separated by semicolons, and perhaps more options.
func (l *List) readImapsync(data []byte) error {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if text := strings.TrimSpace(line); text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if fields := strings.Split(line, ";"); !isImapsyncHeader(fields) {
			l.addImapsync(number, fields)
		}
	}
	return nil
}

func (l *List) addImapsync(line int, fields []string) {
	if len(fields) < 6 {
		l.bad(line, "needs six values with semicolons between them: host1;user1;password1;host2;user2;password2")
		return
	}
	options := strings.TrimSpace(strings.Join(fields[6:], " "))
	if options != "" && !strings.HasPrefix(options, "-") {
		l.bad(line, "has more than six values, and no option of imapsync behind them: a value with a semicolon in it "+
			"is taken for two; write this account as a row of a CSV file")
		return
	}
	a := &Account{Line: line}
	a.note("imapsync reads this mailbox over IMAP, popferry over POP3: check that this host has it")
	for i, key := range []string{"host", "username", "password"} {
		a.set("source."+key, fields[i])
		a.set("destination."+key, fields[i+3])
	}
	a.imapsyncOptions(strings.Fields(options))
	l.Accounts = append(l.Accounts, a)
}

// isImapsyncHeader reports the line that names what is in the others.
func isImapsyncHeader(fields []string) bool {
	names := []string{"host1", "user1", "", "host2", "user2"} // passwords have several names
	return len(fields) > len(names) && slices.EqualFunc(fields[:len(names)], names, func(field, name string) bool {
		return name == "" || strings.EqualFold(strings.TrimSpace(field), name)
	})
}

// imapsyncOptions takes over what options say of the destination. What they say of the
// source is about its IMAP server.
func (a *Account) imapsyncOptions(words []string) {
	for len(words) > 0 {
		name, value, given := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
		words = words[1:]
		switch {
		case name == "ssl2":
			a.set("destination.tls", "implicit")
		case name == "tls2":
			a.set("destination.tls", "starttls")
		case name == "port2" && given:
			a.set("destination.port", value)
		case name == "port2" && len(words) > 0:
			a.set("destination.port", words[0])
			words = words[1:]
		default:
			a.note("options of imapsync at the end of the line are not taken over, but for --port2, --ssl2 and --tls2")
		}
	}
}

// asMistake gives an error of a parser its line.
func asMistake(line int, err error) *Mistake {
	var m *Mistake
	if errors.As(err, &m) {
		return m
	}
	return &Mistake{Line: line, Text: err.Error()}
}
