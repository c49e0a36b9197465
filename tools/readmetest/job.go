package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// job is a command in the background: another terminal.
type job struct {
	step  step
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how; valid then
	mu    struct {
		sync.Mutex
		lines []string
		news  chan struct{} // closed at the next line, then replaced
	}
}

// launch starts a command in the background and waits for the lines that come
// by themselves: all but those about deliveries, which later commands cause.
func (s *session) launch(ctx context.Context, st step) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	j := &job{step: st, cmd: s.command(context.WithoutCancel(ctx), st.command), ended: make(chan struct{})}
	j.mu.news = make(chan struct{})
	j.cmd.Stdout, j.cmd.Stderr = w, w
	if err := j.cmd.Start(); err != nil {
		return errors.Join(err, r.Close(), w.Close())
	}
	_ = w.Close()
	s.jobs = append(s.jobs, j)
	go j.follow(r)
	if err := j.await(ctx, s.waits.start, matchPrompt); err != nil {
		s.jobs = s.jobs[:len(s.jobs)-1]
		_ = syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL)
		<-j.ended
		return err
	}
	s.learnPorts(j.printed())
	return nil
}

// follow gathers the job's lines until it has ended.
func (j *job) follow(r io.ReadCloser) {
	defer close(j.ended)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		j.mu.Lock()
		j.mu.lines = append(j.mu.lines, lines.Text())
		close(j.mu.news)
		j.mu.news = make(chan struct{})
		j.mu.Unlock()
	}
	_ = r.Close()
	j.err = j.cmd.Wait()
}

// printed returns the lines so far.
func (j *job) printed() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.mu.lines...)
}

// await waits until the printed lines are as wanted.
func (j *job) await(ctx context.Context, within time.Duration, as func(want, got []string) bool) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		j.mu.Lock()
		news := j.mu.news
		j.mu.Unlock()
		if as(j.step.want, j.printed()) {
			return nil
		}
		select {
		case <-news:
			continue
		case <-j.ended:
			if as(j.step.want, j.printed()) {
				return nil
			}
			return mismatch{j.step, j.printed(), "it has ended"}
		case <-timer.C:
		case <-ctx.Done():
		}
		return mismatch{j.step, j.printed(), ""}
	}
}

// delivery begins a line about a delivery. Apps run side by side, so the order
// of these lines is nobody's promise.
const delivery = "→ "

// matchPrompt compares the lines that come by themselves, in their order. A
// taken port is said in a line that the document does not show.
func matchPrompt(want, got []string) bool {
	return startsWith(without(want, delivery), without(without(got, delivery), "port "))
}

// startsWith reports whether the first of the printed lines are those wanted.
func startsWith(want, got []string) bool {
	switch {
	case len(want) == 0:
		return true
	case isAnything(want[0]):
		return startsWith(want[1:], got) || len(got) > 0 && startsWith(want, got[1:])
	}
	return len(got) > 0 && matchLine(want[0], got[0]) && startsWith(want[1:], got[1:])
}

// matchDeliveries compares the lines about deliveries, in any order.
func matchDeliveries(want, got []string) bool {
	for _, w := range want {
		if !strings.HasPrefix(w, delivery) {
			continue
		}
		found := false
		for i, g := range got {
			if found = matchLine(w, g); found {
				got = append(append([]string(nil), got[:i]...), got[i+1:]...)
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func without(lines []string, prefix string) (rest []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			rest = append(rest, line)
		}
	}
	return rest
}

var listens = regexp.MustCompile(`^(webhooks|admin|NATS)\s+\w+://127\.0\.0\.1:(\d+)`)

// learnPorts remembers where a Baton in the background listens.
func (s *session) learnPorts(lines []string) {
	usual := map[string]string{"webhooks": publicPort, "admin": adminPort, "NATS": natsPort}
	for _, line := range lines {
		if m := listens.FindStringSubmatch(line); m != nil {
			s.ports[usual[m[1]]] = m[2]
		}
	}
}

// end looks at what is still to come in the background, stops it, and expects
// it to end well.
func (s *session) end(ctx context.Context) error {
	var faults []error
	for _, j := range slices.Backward(s.jobs) {
		if ctx.Err() == nil {
			faults = append(faults, j.await(ctx, s.waits.repeat, matchDeliveries))
		}
		faults = append(faults, s.stop(j))
	}
	return errors.Join(faults...)
}

// stop ends a job the way that a service manager would.
func (s *session) stop(j *job) error {
	group := j.cmd.Process.Pid
	select {
	case <-j.ended:
		return j.verdict("it had ended before it was stopped")
	default:
	}
	began := time.Now()
	for _, pid := range leaves(group) {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	select {
	case <-j.ended:
		s.say("%d: $ %s  (stopped in %s)", j.step.line, j.step.command, time.Since(began).Round(10*time.Millisecond))
		return j.verdict("")
	case <-time.After(s.waits.stop):
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	<-j.ended
	return fmt.Errorf("%d: $ %s\nit did not end within %s of SIGTERM", j.step.line, j.step.command, s.waits.stop)
}

func (j *job) verdict(why string) error {
	if j.err == nil && why == "" {
		return nil
	}
	tail := j.printed()
	tail = tail[max(0, len(tail)-20):]
	if j.err != nil {
		why = strings.TrimSpace(why + " " + j.err.Error())
	}
	return fmt.Errorf("%d: $ %s\n%s\n%s", j.step.line, j.step.command, why, strings.Join(tail, "\n"))
}

// leaves are the processes of a group that have no children: the program
// itself, not the make and the shell that started it. These would report the
// signal as a failure of their own.
func leaves(group int) []int {
	parents, members := map[int]bool{}, []int{}
	for _, p := range processes() {
		if p.group == group {
			members, parents[p.parent] = append(members, p.pid), true
		}
	}
	var last []int
	for _, pid := range members {
		if !parents[pid] {
			last = append(last, pid)
		}
	}
	if len(last) == 0 {
		return []int{-group} // no list of processes to be had: all of them
	}
	return last
}

type processIDs struct{ pid, parent, group int }

// processes lists what runs, from /proc or, where there is none, from ps.
func processes() (all []processIDs) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, _, _ := strings.Cut(string(text), " ")
		_, rest, _ := strings.Cut(string(text), ") ") // after the name: state ppid pgrp
		if f := strings.Fields(rest); len(f) > 2 && f[0] != "Z" {
			all = append(all, processIDs{number(pid), number(f[1]), number(f[2])})
		}
	}
	if len(stats) > 0 {
		return all
	}
	list, _ := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=,pgid=").Output()
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) == 3 {
			all = append(all, processIDs{number(f[0]), number(f[1]), number(f[2])})
		}
	}
	return all
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
