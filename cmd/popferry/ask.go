package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
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

// complete asks for what the command line left open, once what it says is looked at.
func (d *dialogue) complete(w *discover.Wish, askSecrets bool) (err error) {
	asked := len(w.Addresses) == 0
	if asked {
		err = d.addresses(w)
	} else {
		err = checkAddresses(w.Addresses)
	}
	if err != nil {
		return err
	}
	if w.To == "" && w.Source.Host+w.Destination.Host == "" {
		asked = true
		w.To, err = d.askFor("Where does it go (an address, or a domain where the names stay the same)?", discover.CheckTarget)
		if err != nil {
			return err
		}
	}
	w.Ask = d.host
	if asked && askSecrets {
		return d.secrets(w)
	}
	return nil
}

func (d *dialogue) addresses(w *discover.Wish) error {
	answer, err := d.askFor("Whose mail is to be moved (addresses, with blanks between them)?",
		func(answer string) error { return checkAddresses(addressesIn(answer)) })
	w.Addresses = addressesIn(answer)
	return err
}

// addressesIn takes a list apart, also one with commas.
func addressesIn(answer string) []string {
	return strings.FieldsFunc(answer, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' })
}

func checkAddresses(addresses []string) error {
	if len(addresses) == 0 {
		return discover.CheckAddress("")
	}
	for _, address := range addresses {
		if err := discover.CheckAddress(address); err != nil {
			return err
		}
	}
	return nil
}

func (d *dialogue) secrets(w *discover.Wish) error {
	answer, err := d.askFor("Where will the passwords be: env (environment variables) or file? [env]",
		func(answer string) error {
			if answer != "" && answer != "env" && answer != "file" {
				return fault.New(fault.Usage, "%q is neither env nor file", fault.Escape(answer)).
					WithHint("type one of the two words, or nothing for env")
			}
			return nil
		})
	w.Files = answer == "file"
	return err
}

func (d *dialogue) host(p discover.Protocol, domain string) (string, error) {
	question := fmt.Sprintf("No %s server was found for %s. Its host (nothing: I don't know)?", p, domain)
	return d.askFor(question, func(answer string) error {
		if answer == "" {
			return nil
		}
		_, err := discover.Named(p, answer, wire.Implicit, domain)
		return err
	})
}

// askFor asks until the answer is one that can be used.
func (d *dialogue) askFor(question string, check func(answer string) error) (string, error) {
	for {
		answer, err := d.ask(question)
		if err != nil {
			return "", err
		}
		wrong := check(answer)
		if wrong == nil {
			return answer, nil
		}
		if answer != "" {
			fmt.Fprintln(d.out, wrong)
		}
	}
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
