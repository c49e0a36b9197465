package localcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is one program that can be started, killed, paused and stopped, again
// and again. Safe for concurrent use.
type Process struct {
	// Name says which one it is: n1 to n3 are NATS servers, b1 to b3 Baton.
	Name string
	// Log is the file that gets its output, of all its lives.
	Log string

	line, environment []string

	mu struct {
		sync.Mutex
		cmd    *exec.Cmd
		done   chan struct{} // closed when it has ended
		paused bool
	}
}

func newProcess(name, dir string, line, environment []string) *Process {
	return &Process{Name: name, Log: filepath.Join(dir, name+".log"), line: line, environment: environment}
}

// Become makes another program run from the next start on: its command line and
// what is added to its environment. It returns what brings the old one back.
func (p *Process) Become(line, environment []string) (back func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasLine, was := p.line, p.environment
	p.line, p.environment = line, environment
	return func() { p.Become(wasLine, was) }
}

// ID is the process's number in the system; 0 while it does not run.
func (p *Process) ID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.mu.cmd.Process.Pid
}

// Killed reports whether the process has been ended by SIGKILL, its own
// included.
func (p *Process) Killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.cmd == nil || p.running() {
		return false
	}
	status, ok := p.mu.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Start starts the process; nothing happens when it runs.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	cmd := exec.Command(p.line[0], p.line[1:]...) //nolint:noctx,gosec // it outlives the call; the line is the caller's
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), p.environment...), log, log
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.Name, err), log.Close())
	}
	done := make(chan struct{})
	p.mu.cmd, p.mu.done, p.mu.paused = cmd, done, false
	go func() {
		_ = cmd.Wait()
		_ = log.Close()
		close(done)
	}()
	return nil
}

// running reports whether the process lives. Called with the lock held.
func (p *Process) running() bool {
	if p.mu.done == nil {
		return false
	}
	select {
	case <-p.mu.done:
		return false
	default:
		return true
	}
}

// State is running, paused or stopped.
func (p *Process) State() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.running():
		return "stopped"
	case p.mu.paused:
		return "paused"
	default:
		return "running"
	}
}

// Kill ends the process at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() { p.end(syscall.SIGKILL, 0) }

// Stop ends the process in good order; after the time given it is killed.
func (p *Process) Stop(within time.Duration) {
	p.Resume()
	p.end(syscall.SIGTERM, within)
}

func (p *Process) end(signal syscall.Signal, within time.Duration) {
	p.mu.Lock()
	if !p.running() {
		p.mu.Unlock()
		return
	}
	cmd, done := p.mu.cmd, p.mu.done
	p.mu.Unlock()
	_ = cmd.Process.Signal(signal)
	if within > 0 {
		select {
		case <-done:
			return
		case <-time.After(within):
			_ = cmd.Process.Kill()
		}
	}
	<-done
}

// Pause stops the process as SIGSTOP does: it keeps what it has and does nothing.
func (p *Process) Pause() { p.freeze(syscall.SIGSTOP, true) }

// Resume lets it go on.
func (p *Process) Resume() { p.freeze(syscall.SIGCONT, false) }

func (p *Process) freeze(signal syscall.Signal, paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.mu.cmd.Process.Signal(signal)
		p.mu.paused = paused
	}
}

// Tail is the end of the log, for people.
func (p *Process) Tail(bytes int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-bytes):])
}
