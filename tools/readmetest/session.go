package main

import (
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
	"syscall"
	"time"
)

// session is one terminal: what a command exports, and where it goes, is there
// for the next. Commands in the background are other terminals.
type session struct {
	dir   string // the copy of the repository
	state string // file with the shell's state
	waits waits
	out   io.Writer
	files int // written for yaml and go blocks
	last  int // exit code of the command before
	ports map[string]string
	jobs  []*job
}

func newSession(dir string, w waits, out io.Writer) *session {
	return &session{dir: dir, state: filepath.Join(dir, ".readmetest-state"), waits: w, out: out, ports: map[string]string{}}
}

// block runs one block.
func (s *session) block(ctx context.Context, b block) error {
	switch b.lang {
	case "yaml":
		return s.config(ctx, b)
	case "go":
		return s.source(ctx, b)
	}
	steps := b.script()
	if b.lang == "console" {
		var err error
		if steps, err = b.steps(); err != nil {
			return err
		}
	}
	for _, st := range steps {
		if err := s.step(ctx, b.lang == "console", st); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) step(ctx context.Context, compare bool, st step) error {
	if why, ok := skipped(st.command); ok {
		s.say("%d: $ %s  (not run: %s)", st.line, st.command, why)
		return nil
	}
	began := time.Now()
	err := s.execute(ctx, compare, st)
	first, _, _ := strings.Cut(st.command, "\n")
	s.say("%d: $ %s  (%s)", st.line, first, time.Since(began).Round(10*time.Millisecond))
	return err
}

func (s *session) execute(ctx context.Context, compare bool, st step) error {
	if inBackground(st.command) {
		return s.launch(ctx, st)
	}
	deadline := time.Now().Add(s.waits.repeat)
	for {
		got, code, err := s.bash(ctx, st.command)
		if err != nil {
			return fmt.Errorf("%d: $ %s\n%w\n%s", st.line, st.command, err, strings.Join(got, "\n"))
		}
		fault := judge(st, compare, got, code)
		if fault == nil {
			s.last = code
			return nil
		}
		if !compare || !repeatable(st.command) || time.Now().After(deadline) {
			return fault
		}
		select {
		case <-ctx.Done():
			return fault
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// judge compares what a command did with what the document says.
func judge(st step, compare bool, got []string, code int) error {
	switch {
	case !compare && code != 0:
		return mismatch{step{st.command, st.line, nil}, got, fmt.Sprintf("exit code %d", code)}
	case !compare:
		return nil
	case !matchLines(st.want, got):
		return mismatch{st, got, ""}
	case fails(st.want) != (code != 0):
		return mismatch{st, got, fmt.Sprintf("exit code %d, which the document does not show", code)}
	}
	return nil
}

// shell runs a command with the state of the one before and keeps its own.
const shell = `[ ! -f "$README_STATE" ] || . "$README_STATE"
(exit "$README_LAST")
eval "$README_COMMAND"
README_CODE=$?
{ declare -px | grep -v ' README_'; printf 'cd %q\n' "$PWD"; } >"$README_STATE"
exit "$README_CODE"`

// bash runs a command to its end and returns what it printed.
func (s *session) bash(ctx context.Context, command string) (lines []string, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.waits.command)
	defer cancel()
	cmd := s.command(ctx, command)
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return output(string(text)), 0, fmt.Errorf("it did not end within %s", s.waits.command)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return output(string(text)), 0, err
	}
	return output(string(text)), cmd.ProcessState.ExitCode(), nil
}

// command prepares bash in a process group of its own.
func (s *session) command(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", shell)
	cmd.Dir = s.dir
	cmd.Env = append(environment(os.Environ()), "README_STATE="+s.state, "README_COMMAND="+s.ported(command), "README_LAST="+strconv.Itoa(s.last))
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(s.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	if admin := s.ports[adminPort]; admin != "" && admin != adminPort {
		cmd.Env = append(cmd.Env, "BATON_ADMIN=http://127.0.0.1:"+admin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// environment is that of a fresh terminal: nothing of Baton, nothing of the
// make that may have started this.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		for _, prefix := range []string{"BATON_", "MAKE", "MFLAGS=", "README_", "PATH="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
}

// The usual ports, as the document has them.
const (
	publicPort = "8080"
	adminPort  = "8081"
	natsPort   = "4222"
)

var usualPort = regexp.MustCompile(`\b(127\.0\.0\.1|localhost):(` + publicPort + `|` + adminPort + `|` + natsPort + `)\b`)

// ported replaces the usual ports by those that were free.
func (s *session) ported(command string) string {
	return usualPort.ReplaceAllStringFunc(command, func(address string) string {
		host, port, _ := strings.Cut(address, ":")
		if free := s.ports[port]; free != "" {
			port = free
		}
		return host + ":" + port
	})
}

func (s *session) say(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }
