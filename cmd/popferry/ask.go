package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
)

// dialogue asks the person at the terminal. It never asks for a password.
type dialogue struct {
	ctx   context.Context
	lines *bufio.Scanner // its limit bounds a line
	out   io.Writer
}

// terminal is nil where nobody can be asked.
func terminal(ctx context.Context, in *os.File, out io.Writer) *dialogue {
	if !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return &dialogue{ctx, bufio.NewScanner(in), out}
}

// complete asks for what the command line left open.
func (d *dialogue) complete(w *discover.Wish, askSecrets bool) (err error) {
	asked := len(w.Addresses) == 0
	for len(w.Addresses) == 0 {
		answer, err := d.ask("Whose mail is to be moved (addresses, with blanks between them)?")
		if err != nil {
			return err
		}
		w.Addresses = strings.Fields(answer)
	}
	if w.To == "" && w.Source.Host+w.Destination.Host == "" {
		asked = true
		w.To, err = d.ask("Where does it go (an address, or a domain where the names stay the same)?")
		if err != nil {
			return err
		}
	}
	if asked && askSecrets {
		answer, err := d.ask("Where will the passwords be: env (environment variables) or file? [env]")
		if err != nil {
			return err
		}
		w.Files = answer == "file"
	}
	w.Ask = d.host
	return nil
}

func (d *dialogue) host(p discover.Protocol, domain string) (string, error) {
	return d.ask(fmt.Sprintf("No %s server was found for %s. Its host (nothing: I don't know)?", p, domain))
}

// ask reads a line; Ctrl-C ends the wait for it.
func (d *dialogue) ask(question string) (string, error) {
	fmt.Fprint(d.out, question+" ")
	read := make(chan bool, 1)
	go func() { read <- d.lines.Scan() }()
	select {
	case <-d.ctx.Done():
		return "", fault.Stopped("the question was not answered: %w", d.ctx.Err())
	case ok := <-read:
		if !ok {
			return "", fault.New(fault.Usage, "there was no answer").
				WithHint("say it on the command line; popferry init --help")
		}
	}
	return strings.TrimSpace(d.lines.Text()), nil
}
