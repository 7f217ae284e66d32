//go:build !linux

package box

import (
	"context"
	"errors"
)

// Box stands for a box where there are no namespaces.
type Box struct{ Dir, Log string }

// Open returns [errors.ErrUnsupported].
func Open(Options) (*Box, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Box) Close() error { return nil }

// Run returns [errors.ErrUnsupported].
func (*Box) Run(context.Context, ...string) (string, error) { return "", errors.ErrUnsupported }

// Serve returns [errors.ErrUnsupported].
func (*Box) Serve(...string) (string, error) { return "", errors.ErrUnsupported }

// LogTail is empty.
func (*Box) LogTail() string { return "" }
