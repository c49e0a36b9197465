package ownership

import (
	"testing"
	"unsafe"

	"github.com/baton-router/baton/pkg/control"
)

// bytes is what is allotted.
func (p *pages) bytes() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.maps {
		n += len(m)
	}
	return n
}

// TestPages: what is allotted is zero and stays apart; what is given back is
// gone.
func TestPages(t *testing.T) {
	t.Parallel()
	var p pages
	a, b := allot[uint32](&p, 1024), allot[row](&p, rowsPerChunk)
	for i := range a {
		if a[i] != 0 {
			t.Fatalf("place %d is %d", i, a[i])
		}
		a[i] = uint32(i)
	}
	b[rowsPerChunk-1].revision = 7
	if want := 4*1024 + rowsPerChunk*int(unsafe.Sizeof(row{})); p.bytes() != want {
		t.Errorf("%d bytes are allotted, want %d", p.bytes(), want)
	}
	giveBack(&p, a)
	if want := rowsPerChunk * int(unsafe.Sizeof(row{})); p.bytes() != want || b[rowsPerChunk-1].revision != 7 {
		t.Errorf("%d bytes are left, want %d", p.bytes(), want)
	}
	p.release()
	if p.bytes() != 0 {
		t.Errorf("%d bytes are left", p.bytes())
	}
}

// TestFillIsPut: a table that was filled is as if its threads had been put, and
// goes on growing.
func TestFillIsPut(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 768, 769, 5000} {
		filled, put := newThreads(), newThreads()
		key := func(i int) control.ThreadKey { return control.ThreadKey{Asset: uint64(i % 3), Person: uint64(i)} }
		one := func(i int) slot {
			s := slot{state: control.State{Owner: control.AppID(i), Revision: uint32(i)}, armed: control.Millis(i)}
			if i%100 == 0 {
				s.state.Rare = &control.Rare{}
			}
			return s
		}
		err := filled.fill(func(add func(control.ThreadKey, slot)) error {
			for i := range n {
				add(key(i), one(i))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			put.put(key(i), one(i))
		}
		for i := n; i < 2*n; i++ {
			filled.put(key(i), one(i))
			put.put(key(i), one(i))
		}
		if filled.len() != put.len() || len(filled.index) != len(put.index) {
			t.Fatalf("%d threads at %d places, want %d at %d", filled.len(), len(filled.index), put.len(), len(put.index))
		}
		for k, want := range put.all() {
			got, ok := filled.get(k)
			if (got.state.Rare == nil) != (want.state.Rare == nil) {
				t.Fatalf("%+v: rare %v, want %v", k, got.state.Rare, want.state.Rare)
			}
			got.state.Rare, want.state.Rare = nil, nil
			if !ok || got != want {
				t.Fatalf("%+v: %+v, want %+v", k, got, want)
			}
		}
	}
}
