package controltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// args are the words of a line: VERB LIST... KEY=VALUE...
type args struct {
	verb  string
	list  []string
	pairs []pair
}

type pair struct{ key, value string }

func words(line string) (args, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return args{}, fmt.Errorf("an empty line")
	}
	a := args{verb: fields[0]}
	for _, f := range fields[1:] {
		if key, value, ok := strings.Cut(f, "="); ok {
			a.pairs = append(a.pairs, pair{key: key, value: value})
			continue
		}
		a.list = append(a.list, f)
	}
	return a, nil
}

// arg is the i-th plain word, empty when there is none.
func (a args) arg(i int) string {
	if i < len(a.list) {
		return a.list[i]
	}
	return ""
}

func (a args) get(key string) string {
	for _, p := range a.pairs {
		if p.key == key {
			return long(p.value)
		}
	}
	return ""
}

// long stands for text that is one character too long for a message's metadata
// (LONG) or for a handover's (LONG2).
func long(value string) string {
	switch value {
	case "LONG":
		return strings.Repeat("x", control.MaxAppMessage+1)
	case "LONG2":
		return strings.Repeat("\u00e9", control.MaxMetadata+1)
	}
	return value
}

func (a args) has(word string) bool { return slices.Contains(a.list, word) }

const names = "ABCTHVDFN"

func appOf(name string) (control.AppID, error) {
	switch {
	case name == "", name == "none":
		return 0, nil
	case name == "X":
		return control.PageInbox, nil
	case name == "XI":
		return control.InstagramInbox, nil
	case name == "XS":
		return control.PageInboxShort, nil
	case len(name) == 1 && strings.Contains(names, name):
		return A + control.AppID(strings.Index(names, name)), nil
	}
	return 0, fmt.Errorf("no app %q", name)
}

// AppName is the app's letter in scripts, "idle" for none.
func AppName(a control.AppID) string {
	switch {
	case a == 0:
		return "idle"
	case a == control.PageInbox:
		return "X"
	case a == control.InstagramInbox:
		return "XI"
	case a >= A && a <= N:
		return string(names[a-A])
	}
	return a.String()
}

// span reads a duration such as 1h30m, -3d or +4d.
func span(text string) (control.Millis, error) {
	number, isDays := strings.CutSuffix(text, "d")
	if isDays {
		days, err := strconv.Atoi(number)
		return control.Millis(days) * control.Day, err
	}
	d, err := time.ParseDuration(text)
	return control.Millis(d.Milliseconds()), err
}

// when writes a time relative to the start of the script.
func when(at control.Millis) string {
	if at == 0 {
		return "never"
	}
	d := at - Start
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	for _, unit := range []struct {
		size control.Millis
		name string
	}{{control.Hour, "h"}, {control.Minute, "m"}, {control.Second, "s"}} {
		if d != 0 && d%unit.size == 0 {
			return fmt.Sprintf("%s%d%s", sign, d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%s%dms", sign, d)
}
