package page

// For tests.
const (
	MaxStreams     = maxStreams
	MaxConnections = maxConnections
	StreamFor      = streamFor
)
