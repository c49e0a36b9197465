package localcluster

import "syscall"

// attributes: a group of its own, so that Ctrl-C at the terminal reaches the
// menu alone, and an end with the one who started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
