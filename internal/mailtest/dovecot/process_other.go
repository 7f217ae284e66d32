//go:build !unix

package dovecot

import "errors"

// process stands for the server where there is no Dovecot.
type process struct{}

func startProcess(owner, string, string, string) (*process, error) {
	return nil, errors.ErrUnsupported
}

func (*process) exited() bool { return true }

func (*process) stop() error { return nil }
