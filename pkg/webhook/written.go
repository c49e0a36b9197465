package webhook

// Element is raw, one JSON object, as AppendElement writes it without an edit:
// raw itself when it is written so already, as what the platform sends is. The
// error is AppendElement's.
func Element(raw []byte) ([]byte, error) {
	if !written(raw) || check(raw, DefaultDepth) != nil || raw[0] != '{' {
		return AppendElement(make([]byte, 0, len(raw)+len(raw)/8), raw, Edit{})
	}
	return raw, nil
}

// written reports whether a JSON value is in the platform's form. On anything else
// it may report either.
func written(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case ' ', '\n', '\t', '\r':
			return false
		case '"':
			if i = literalWritten(raw, i); i < 0 {
				return false
			}
		}
	}
	return len(raw) > 0
}

// literalWritten is the index of the quote that ends the literal at i; -1 when
// the platform would write the literal another way.
func literalWritten(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch b := raw[i]; {
		case ordinary[b] && b != '"':
		case b == '"':
			return i
		case b != '\\' || i+1 == len(raw):
			return -1
		case raw[i+1] != 'u':
			i++
		case !unitWritten(raw[i+2:]):
			return -1
		default:
			i += 5
		}
	}
	return -1
}

// unitWritten reports whether the four digits of \uXXXX are in lower case.
func unitWritten(digits []byte) bool {
	if len(digits) < 4 {
		return false
	}
	for _, b := range digits[:4] {
		if 'A' <= b && b <= 'F' {
			return false
		}
	}
	return true
}
