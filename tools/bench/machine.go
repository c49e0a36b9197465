package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/baton-router/baton/tools/bench/report"
)

// machine describes what the figures depend on.
func machine() report.Machine {
	return report.Machine{
		Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"), Go: runtime.Version(),
		System: strings.TrimSpace(runtime.GOOS + " " + line("/proc/sys/kernel/osrelease")), Model: field("/proc/cpuinfo", "model name"),
	}
}

// field is the first value of a key in a file of lines "key : value"; "?" when
// there is none.
func field(file, key string) string {
	text, _ := os.ReadFile(file)
	for l := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

func line(file string) string {
	text, _ := os.ReadFile(file)
	return strings.TrimSpace(string(text))
}

// version is what the measured program says of itself.
func version(program string) string {
	out, err := exec.Command(program, "version").Output() //nolint:noctx // the program that is to be measured
	if err != nil {
		return fmt.Sprintf("unknown (%v)", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "baton "))
}
