package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/zalando/go-keyring"

	"github.com/popferry/popferry/internal/fault"
)

const withoutKeyring = "env, file, credential or command instead"

// askKeyring asks the keyring, which may ask a person to unlock it.
func (p Password) askKeyring(parent context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(parent, commandTime)
	defer cancel()
	var text string
	answer := make(chan error, 1)
	go func() { // nothing ends it: the library takes no context
		found, err := keyring.Get(p.keyring.service, p.keyring.user)
		text = found
		answer <- err
	}()
	select {
	case err := <-answer:
		if err != nil {
			return "", p.keyringError(err)
		}
		return text, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s was not given within %s; unlock the keyring, or use %s", p, fault.Span(commandTime), withoutKeyring)
	}
}

func (p Password) keyringError(err error) error {
	if errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("%s does not exist; store the password under this service and user", p)
	}
	return fmt.Errorf("%s cannot be read: %s; where there is no keyring, use %s", p,
		fault.Escape(err.Error()), withoutKeyring)
}
