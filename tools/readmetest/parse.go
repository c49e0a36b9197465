package main

import (
	"fmt"
	"strings"
)

// block is a fenced code block of a document.
type block struct {
	lang  string
	line  int // of its first line, counted from 1
	lines []string
}

// configMark begins the yaml blocks that are whole configurations.
const configMark = "# baton.yaml"

// runs reports whether the block is more than text.
func (b block) runs() bool {
	switch b.lang {
	case "console", "sh", "go":
		return true
	case "yaml":
		return len(b.lines) > 0 && strings.HasPrefix(b.lines[0], configMark)
	}
	return false
}

// step is a command of a block and what it is said to print.
type step struct {
	command string
	line    int
	want    []string
}

// parse finds the fenced blocks of a document.
func parse(text string) ([]block, error) {
	var all []block
	var open *block
	fence, indent := "", ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			ticks := len(trimmed) - len(strings.TrimLeft(trimmed, "`"))
			fence, indent = trimmed[:ticks], line[:len(line)-len(trimmed)]
			lang, _, _ := strings.Cut(strings.TrimSpace(trimmed[ticks:]), " ")
			open = &block{lang: lang, line: i + 2}
		case open != nil && strings.TrimRight(trimmed, " ") == fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, strings.TrimPrefix(line, indent))
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%d: the block that begins here has no end", open.line-1)
	}
	return all, nil
}

// steps are the commands of a console block.
func (b block) steps() ([]step, error) {
	var all []step
	for i, line := range b.lines {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			all = append(all, step{command: command, line: b.line + i})
		case len(all) == 0:
			if strings.TrimSpace(line) != "" {
				return nil, fmt.Errorf("%d: output without a command: a console block begins with \"$ \"", b.line+i)
			}
		default:
			last := &all[len(all)-1]
			if len(last.want) == 0 && strings.HasSuffix(last.command, "\\") {
				last.command += "\n" + strings.TrimPrefix(line, "> ")
				continue
			}
			last.want = append(last.want, line)
		}
	}
	for i := range all {
		all[i].want = trimEnd(all[i].want)
	}
	return all, nil
}

// script are the commands of an sh block. It is one script, unless a line needs
// care of its own.
func (b block) script() []step {
	special := false
	for _, line := range b.lines {
		_, skip := skipped(line)
		special = special || skip || inBackground(line)
	}
	if !special {
		return []step{{command: strings.Join(b.lines, "\n"), line: b.line}}
	}
	var all []step
	for i, line := range b.lines {
		if n := len(all); n > 0 && strings.HasSuffix(all[n-1].command, "\\") {
			all[n-1].command += "\n" + line
		} else if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, step{command: line, line: b.line + i})
		}
	}
	return all
}

// demo is a block that runs the demo, if the document promises it in its text
// and in no block.
func demo(text string, blocks []block) []block {
	const command = "make demo"
	for _, b := range blocks {
		for _, line := range b.lines {
			if strings.TrimPrefix(line, "$ ") == command {
				return nil
			}
		}
	}
	before, _, promised := strings.Cut(text, "`"+command+"`")
	if !promised {
		return nil
	}
	return []block{{lang: "sh", line: strings.Count(before, "\n") + 1, lines: []string{command}}}
}

// trimEnd drops empty lines at the end.
func trimEnd(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
