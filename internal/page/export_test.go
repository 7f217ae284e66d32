package page

// For tests.
const (
	MaxStreams = maxStreams
	StreamFor  = streamFor
)
