package pop

import "strings"

// A listing may have millions of lines, and nobody knows how many before the last one.
// What grows by copying itself leaves several times its size behind for the collector,
// so that a listing is piled up in pieces.
const (
	pieceOfSizes = 8 << 10  // items
	pieceOfTexts = 64 << 10 // octets
)

// sized is a message and its size.
type sized struct {
	number int
	size   int64
}

// pile is a list of messages in pieces.
type pile struct {
	pieces [][]sized
	count  int
}

func (p *pile) add(s sized) {
	switch {
	case p.count == 0:
		p.pieces = append(p.pieces, nil) // most are short
	case p.count%pieceOfSizes == 0:
		p.pieces = append(p.pieces, make([]sized, 0, pieceOfSizes))
	}
	last := &p.pieces[len(p.pieces)-1]
	*last = append(*last, s)
	p.count++
}

// last returns the message that was added last, or one with the number 0.
func (p *pile) last() sized {
	if p.count == 0 {
		return sized{}
	}
	piece := p.pieces[len(p.pieces)-1]
	return piece[len(piece)-1]
}

// texts keeps strings, many of them in one piece of memory. Each piece is twice as
// large as the one before, within bounds.
type texts struct{ piece strings.Builder }

func (t *texts) keep(text []byte) string {
	if t.piece.Cap()-t.piece.Len() < len(text) {
		size := min(max(2*t.piece.Cap(), 1<<10), pieceOfTexts)
		t.piece.Reset() // the strings keep the old piece
		t.piece.Grow(max(size, len(text)))
	}
	start := t.piece.Len()
	t.piece.Write(text)
	return t.piece.String()[start:]
}
