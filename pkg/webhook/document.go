package webhook

import "iter"

// document is a checked body with the index of its containers: its upper
// levels are walked without reading what lies below them again.
type document struct{ jumps []jump }

// node is a value of a document: its bytes and, for a container, its index.
type node struct {
	raw   []byte
	index int32
}

// members is like the function of that name.
func (d *document) members(object node) iter.Seq2[[]byte, node] {
	return func(yield func(key []byte, value node) bool) {
		raw, next := object.raw, object.index+1
		if len(raw) == 0 || raw[0] != '{' {
			return
		}
		for i := space(raw, 1); raw[i] == '"'; {
			end := skipString(raw, i)
			from := space(raw, space(raw, end)+1)
			value := d.value(raw, from, &next)
			if !yield(raw[i:end], value) {
				return
			}
			i = space(raw, space(raw, from+len(value.raw))+1)
			if i >= len(raw) {
				return
			}
		}
	}
}

// items is like the function of that name.
func (d *document) items(array node) iter.Seq[node] {
	return func(yield func(value node) bool) {
		raw, next := array.raw, array.index+1
		if len(raw) == 0 || raw[0] != '[' {
			return
		}
		for i := space(raw, 1); i < len(raw) && raw[i] != ']'; {
			value := d.value(raw, i, &next)
			if !yield(value) {
				return
			}
			i = space(raw, space(raw, i+len(value.raw))+1)
		}
	}
}

// value is the value at i; next is the first container that opens from there
// on, and becomes the first one after the value.
func (d *document) value(raw []byte, i int, next *int32) node {
	if raw[i] != '{' && raw[i] != '[' {
		return node{raw: raw[i:skip(raw, i)]}
	}
	jump := d.jumps[*next]
	value := node{raw: raw[i : i+int(jump.size)], index: *next}
	*next = jump.next
	return value
}
