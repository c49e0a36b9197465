package proc

import (
	"os"
	"syscall"
)

// allocated is the space that a file takes: the streams' files are allocated
// ahead of what is written, Pebble's logs as well.
func allocated(i os.FileInfo) uint64 {
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Blocks) * 512
	}
	return uint64(i.Size())
}
