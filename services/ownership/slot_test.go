package ownership

import (
	"testing"
	"unsafe"

	"github.com/baton-router/baton/pkg/control"
)

// A holder keeps every thread of its partition in memory, so what one takes is
// part of the design; ARCHITECTURE.md names the figure.
func TestThreadTakes88BytesWithItsKey(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(control.ThreadKey{}) + unsafe.Sizeof(slot{}); got != 88 {
		t.Errorf("a thread takes %d bytes", got)
	}
}
