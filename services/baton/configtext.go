package main

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger is what services are handed.
type logger = *slog.Logger

// configText is a YAML file under construction.
type configText struct{ strings.Builder }

// line adds a line at a depth of indentation.
func (b *configText) line(depth int, format string, args ...any) {
	b.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(b, format, args...)
	b.WriteByte('\n')
}

func joined(list []string) string { return strings.Join(list, ", ") }
