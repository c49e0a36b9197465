package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far, by the kernel's books. All but
// Resident only grow.
type Usage struct {
	CPU      time.Duration // user and system time of all threads
	Resident uint64        // bytes of memory now
	Written  uint64        // bytes sent to storage
}

// Since is what was used between an earlier reading and this one. Resident is
// that of now.
func (u Usage) Since(before Usage) Usage {
	return Usage{CPU: u.CPU - before.CPU, Resident: u.Resident, Written: u.Written - before.Written}
}

func (u Usage) plus(o Usage) Usage {
	return Usage{CPU: u.CPU + o.CPU, Resident: u.Resident + o.Resident, Written: u.Written + o.Written}
}

// tick is the unit of CPU times in /proc, the same on every architecture that
// Go runs on.
const tick = time.Second / 100

// Read reads the usage of a process. The error says that it is gone, or that
// this is not Linux.
func Read(pid int) (Usage, error) {
	fields, err := stat(pid)
	if err != nil {
		return Usage{}, err
	}
	user, err1 := strconv.ParseInt(fields[13], 10, 64)
	system, err2 := strconv.ParseInt(fields[14], 10, 64)
	pages, err3 := strconv.ParseUint(fields[23], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return Usage{}, fmt.Errorf("process %d: unknown form of stat: %v", pid, fields)
	}
	u := Usage{CPU: time.Duration(user+system) * tick, Resident: pages * uint64(os.Getpagesize())}
	u.Written, err = written(pid)
	return u, err
}

// ReadTree reads the usage of a process and its children.
func ReadTree(pid int) (Usage, error) {
	sum, err := Read(pid)
	if err != nil {
		return Usage{}, err
	}
	files, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return Usage{}, err
	}
	for _, file := range files {
		child, err := strconv.Atoi(filepath.Base(file))
		if err != nil || parent(child) != pid {
			continue
		}
		if u, err := Read(child); err == nil { // else it has just ended
			sum = sum.plus(u)
		}
	}
	return sum, nil
}

// parent is the parent's id, 0 for a process that is gone.
func parent(pid int) int {
	fields, err := stat(pid)
	if err != nil {
		return 0
	}
	id, _ := strconv.Atoi(fields[3])
	return id
}

// stat returns the fields of /proc/PID/stat, at least 24.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(file(pid, "stat"))
	if err != nil {
		return nil, err
	}
	// The second field, the name, may hold anything.
	end := bytes.LastIndexByte(text, ')')
	fields := append([]string{"", ""}, strings.Fields(string(text[end+1:]))...)
	if end < 0 || len(fields) < 24 {
		return nil, fmt.Errorf("process %d: unknown form of stat: %q", pid, text)
	}
	return fields, nil
}

// written is 0 for a process of another user, whose books are closed.
func written(pid int) (uint64, error) {
	text, err := os.ReadFile(file(pid, "io"))
	if os.IsPermission(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "\nwrite_bytes: ")
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(number, 10, 64)
	if !found || err != nil {
		return 0, fmt.Errorf("process %d: unknown form of io: %q", pid, text)
	}
	return n, nil
}

func file(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// DirBytes is the disk space of the files below dir. Files that vanish while
// it looks are left out.
func DirBytes(dir string) (sum uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		i, err := e.Info()
		if err == nil {
			sum += allocated(i)
		}
		return ignoreGone(err)
	})
	return sum, err
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
