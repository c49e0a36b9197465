package main

import (
	"regexp"
	"strings"
)

// skips are commands that are not run from within, and why.
var skips = []struct {
	command *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`^make (test|check)\b`), "the pipeline that runs this runs it"},
	{regexp.MustCompile(`^git clone\b`), "the copy of the repository stands for the clone"},
	{regexp.MustCompile(`^cd baton$`), "the commands begin at the root of the clone"},
}

// skipped says why a command is not run.
func skipped(command string) (why string, ok bool) {
	for _, s := range skips {
		if s.command.MatchString(strings.TrimSpace(command)) {
			return s.why, true
		}
	}
	return "", false
}

var (
	background = regexp.MustCompile(`^(make run|make dev|(bin/)?baton (-\S+ \S+ )*(dev|serve|thread watch|log tail (.* )?(-f|--follow)))\b`)
	readOnly   = regexp.MustCompile(`^(bin/)?baton (-\S+ \S+ )*(thread (show|ls)|app ls|sim (show|clock$)|log (tail|cat|verify)|replay)\b`)
	curlWrites = regexp.MustCompile(` (-X|--request|-d|--data\S*|-F|--form|-T|--json)\b`)
)

// inBackground reports whether a command goes on until it is stopped.
func inBackground(command string) bool {
	return background.MatchString(strings.TrimSpace(command))
}

// repeatable reports whether a command only reads, so that it may be repeated
// until what it shows has happened.
func repeatable(command string) bool {
	if strings.HasPrefix(command, "curl ") {
		return !curlWrites.MatchString(command)
	}
	return readOnly.MatchString(command)
}

// fails reports whether the document shows a failure of the command.
func fails(want []string) bool {
	for _, line := range want {
		if strings.HasPrefix(line, "baton: ") || strings.HasPrefix(line, "make: ***") {
			return true
		}
	}
	return false
}
