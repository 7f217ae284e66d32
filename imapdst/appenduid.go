package imapdst

import (
	"math"
	"strconv"
	"strings"
)

// acceptUIDs reads APPENDUID (RFC 4315 §3) from the tagged OK of our own APPEND.
// Servers send wrong ones, some with the numbers swapped: it returns nil unless
// the folder is the one that is known, and the UIDs are as many as the messages
// and all higher than any before them.
func (c *Conn) acceptUIDs(f Folder, s status, count int) (uint32, []uint32) {
	if s.code != "APPENDUID" {
		return 0, nil
	}
	first, set, _ := strings.Cut(s.args, " ")
	validity, ok := positive(first)
	if !ok || f.UIDValidity != 0 && validity != f.UIDValidity {
		return 0, nil
	}
	uids := expandSet(strings.TrimSpace(set), count)
	if uids == nil {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	here := place{f.Mailbox, validity}
	if uids[0] < f.UIDNext || uids[0] <= c.lastUID[here] {
		return 0, nil
	}
	c.lastUID[here] = uids[len(uids)-1]
	return validity, uids
}

// expandSet returns the numbers of a uid-set (RFC 4315 §4) if they are count and
// ascend, else nil. It never makes more than count.
func expandSet(set string, count int) []uint32 {
	uids := make([]uint32, 0, count)
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		low, ok := positive(from)
		high := low
		if ok && isRange {
			high, ok = positive(to)
		}
		tooMany := int64(high)-int64(low) >= int64(count-len(uids))
		if !ok || high < low || tooMany || len(uids) > 0 && low <= uids[len(uids)-1] {
			return nil
		}
		for uid := uint64(low); uid <= uint64(high); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	if len(uids) != count {
		return nil
	}
	return uids
}

// positive reads an nz-number (RFC 3501 §9).
func positive(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && n <= math.MaxUint32
}
