package post_test

import (
	"crypto/tls"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"

	"github.com/popferry/popferry/internal/mailtest/certs"
)

type mimeWords = mime.WordDecoder

func quoted(r io.Reader) io.Reader { return quotedprintable.NewReader(r) }

func tlsListener(l net.Listener, keys *certs.Pair) net.Listener {
	return tls.NewListener(l, keys.Server())
}
