package message

// MaxRoom is the most that all large messages together may take of a disk, in
// octets.
const MaxRoom = 2 << 30

// RoomIn says how much of the disk that a folder is on large messages may take:
// MaxRoom, or less where that would leave less than a tenth of what is free now.
// 0 octets are never said, since others take that for no answer.
func RoomIn(dir string) int64 {
	free, known := freeIn(dir)
	if !known {
		return MaxRoom
	}
	return max(1, min(free-free/10, MaxRoom))
}
