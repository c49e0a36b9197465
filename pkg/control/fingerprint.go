package control

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// Fingerprint identifies a control call by what was asked and by whom, for
// State.LastChange: FNV-1a 64, never zero. Absent and empty metadata are equal
// (12.27).
func Fingerprint(verb Verb, by, target AppID, metadata string) uint64 {
	h := hashByte(fnvOffset, byte(verb))
	h = hashWord(h, uint64(by))
	h = hashWord(h, uint64(target))
	for i := range len(metadata) {
		h = hashByte(h, metadata[i])
	}
	if h == 0 {
		return fnvOffset
	}
	return h
}

func hashByte(h uint64, b byte) uint64 { return (h ^ uint64(b)) * fnvPrime }

func hashWord(h, v uint64) uint64 {
	for shift := 0; shift < 64; shift += 8 {
		h = hashByte(h, byte(v>>shift))
	}
	return h
}
