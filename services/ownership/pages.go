package ownership

import (
	"fmt"
	"sync"
	"syscall"
	"unsafe"
)

// pages is memory of the operating system outside the garbage-collected heap.
// The collector lets the heap grow to twice what lives in it, so memory that
// never dies and holds no pointers would count double there.
type pages struct {
	mu   sync.Mutex
	maps map[unsafe.Pointer][]byte // by where they begin
}

// allot returns n zero values of a type without pointers, in pages of their
// own. They are there until they are given back, or all of them released.
func allot[T any](p *pages, n int) []T {
	size := n * int(unsafe.Sizeof(*new(T)))
	m, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("ownership: %d bytes of memory: %v", size, err)) //nolint:forbidigo // no memory ends a process, as on the heap
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maps == nil {
		p.maps = map[unsafe.Pointer][]byte{}
	}
	start := unsafe.Pointer(unsafe.SliceData(m)) //nolint:gosec // pages of our own
	p.maps[start] = m
	return unsafe.Slice((*T)(start), n) //nolint:gosec // as many as were asked for, aligned to a page
}

// giveBack gives back what allot returned; nobody may use it any more.
func giveBack[T any](p *pages, s []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := unsafe.Pointer(unsafe.SliceData(s)) //nolint:gosec // only looked up
	p.unmap(start)
}

// release gives everything back.
func (p *pages) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for start := range p.maps {
		p.unmap(start)
	}
}

func (p *pages) unmap(start unsafe.Pointer) {
	if err := syscall.Munmap(p.maps[start]); err != nil {
		panic(fmt.Sprintf("ownership: giving memory back: %v", err)) //nolint:forbidigo // it was not allotted: a broken invariant
	}
	delete(p.maps, start)
}
