package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// any of a kind: leaves of an expected JSON value that stand for any value of a
// kind.
type anyOf string

const (
	someText   anyOf = "a text"
	someNumber anyOf = "a number"
	something  anyOf = "something"
)

func (a anyOf) covers(got any) bool {
	switch a {
	case someText:
		s, ok := got.(string)
		return ok && s != ""
	case someNumber:
		_, ok := got.(json.Number)
		return ok
	case something:
	}
	return got != nil
}

// decode reads JSON with its numbers as they are written.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// plain is a value of ours as decode would read it, any leaves kept.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			out[key] = plain(member)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	case int, int64, uint64:
		return json.Number(fmt.Sprint(v))
	}
	return v
}

// field is a member of an object, nil without.
func field(v any, name string) any {
	o, _ := v.(map[string]any)
	return o[name]
}

// differs returns the first difference between what is expected and what came,
// "" for none.
func differs(want, got any) string { return differ("", plain(want), got) }

func differ(path string, want, got any) string {
	switch want := want.(type) {
	case anyOf:
		if want.covers(got) {
			return ""
		}
	case map[string]any:
		if o, ok := got.(map[string]any); ok {
			return differObject(path, want, o)
		}
	case []any:
		if list, ok := got.([]any); ok && len(list) == len(want) {
			for i := range want {
				if d := differ(fmt.Sprintf("%s[%d]", path, i), want[i], list[i]); d != "" {
					return d
				}
			}
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: want %s, got %s", strings.TrimPrefix(path, "."), text(want), text(got))
}

func differObject(path string, want, got map[string]any) string {
	names := make([]string, 0, len(want)+len(got))
	for name := range want {
		names = append(names, name)
	}
	for name := range got {
		if _, both := want[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		w, wanted := want[name]
		g, came := got[name]
		switch {
		case !wanted:
			return fmt.Sprintf("%s.%s: not expected, got %s", path, name, text(g))
		case !came:
			return fmt.Sprintf("%s.%s: missing, want %s", path, name, text(w))
		}
		if d := differ(path+"."+name, w, g); d != "" {
			return d
		}
	}
	return ""
}

func text(v any) string {
	if a, ok := v.(anyOf); ok {
		return string(a)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}
