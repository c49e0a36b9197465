//go:build !linux

package localcluster

import "syscall"

// attributes: a group of its own, so that Ctrl-C at the terminal reaches the
// menu alone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
