package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// secrets are the references to the environment in a configuration.
var (
	envSecret  = regexp.MustCompile(`env:([A-Za-z_][A-Za-z0-9_]*)`)
	fileSecret = regexp.MustCompile(`file:([^\s"',}\]]+)`)
)

// config checks a configuration with bin/baton check. The secrets that it names
// are set to something.
func (s *session) config(ctx context.Context, b block) error {
	if err := s.build(ctx, b); err != nil {
		return err
	}
	s.files++
	name := fmt.Sprintf(".readmetest-%d.yaml", s.files)
	text := strings.Join(b.lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		return err
	}
	var command strings.Builder
	for i, m := range envSecret.FindAllStringSubmatch(text, -1) {
		fmt.Fprintf(&command, "export %s=readme-secret-%d\n", m[1], i)
	}
	for _, m := range fileSecret.FindAllStringSubmatch(text, -1) {
		fmt.Fprintf(&command, "[ -e %[1]q ] || { mkdir -p \"$(dirname %[1]q)\"; echo readme-secret > %[1]q; }\n", m[1])
	}
	// In a shell of its own: the secrets are not the reader's.
	return s.checked(ctx, b, "bin/baton check --config "+name, "(\n"+command.String()+`exec "$PWD/bin/baton" check --config `+name+"\n)")
}

// build makes bin/baton if no command of the document has.
func (s *session) build(ctx context.Context, b block) error {
	if _, err := os.Stat(filepath.Join(s.dir, "bin", "baton")); err == nil {
		return nil
	}
	return s.checked(ctx, b, "make build", "make build")
}

// source compiles a Go block as a package of the module.
func (s *session) source(ctx context.Context, b block) error {
	s.files++
	pkg := fmt.Sprintf("readme%d", s.files)
	if err := os.Mkdir(filepath.Join(s.dir, pkg), 0o700); err != nil {
		return err
	}
	text := strings.Join(b.lines, "\n") + "\n"
	if !hasPackage(b.lines) {
		text = "package " + pkg + "\n" + text
	}
	if err := os.WriteFile(filepath.Join(s.dir, pkg, "readme.go"), []byte(text), 0o600); err != nil {
		return err
	}
	return s.checked(ctx, b, "go vet", "go vet ./"+pkg)
}

func hasPackage(lines []string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, "package ") {
			return true
		}
	}
	return false
}

// checked runs a command at the root that must succeed.
func (s *session) checked(ctx context.Context, b block, what, command string) error {
	got, code, err := s.bash(ctx, "(cd "+quote(s.dir)+" && "+command+")")
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return fmt.Errorf("%d: %s of this %s block: %w\n%s", b.line, what, b.lang, err, strings.Join(got, "\n"))
	}
	s.say("%d: %s of the %s block", b.line, what, b.lang)
	return nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
