package imapd

import (
	"math"
	"strconv"
	"strings"
)

// set is a sequence set (RFC 3501 §9): ranges in which the largest number stands for "*".
type set []span

type span struct{ from, to uint32 }

const star = math.MaxUint32

// parseSet reads "1,3:5,7:*".
func parseSet(text string) (set, error) {
	var ranges set
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		a, err := parseNumber(from)
		if err != nil {
			return nil, err
		}
		b, err := parseNumber(to)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, span{a, b})
	}
	return ranges, nil
}

func parseNumber(text string) (uint32, error) {
	if text == "*" {
		return star, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, errSyntax
	}
	return uint32(n), nil
}

// contains tells whether n is in the set when last is what "*" stands for. A range holds the same
// whichever end is written first, so that "9:*" holds the last number even if that is 5.
func (s set) contains(n, last uint32) bool {
	for _, r := range s {
		from, to := r.from, r.to
		if from == star {
			from = last
		}
		if to == star {
			to = last
		}
		if min(from, to) <= n && n <= max(from, to) {
			return true
		}
	}
	return false
}

// format writes ascending numbers as a set.
func format(numbers []uint32) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.FormatUint(uint64(numbers[i]), 10)
		if j > i {
			part += ":" + strconv.FormatUint(uint64(numbers[j]), 10)
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}
