package roster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is one value that differs between two documents. Secrets are
// hidden; Old or New is "" where the value does not exist.
type Difference struct {
	Path     string
	Old, New string
}

// String is the line that `baton apply` shows.
func (d Difference) String() string {
	switch {
	case d.Old == "":
		return fmt.Sprintf("+ %s: %s", d.Path, d.New)
	case d.New == "":
		return fmt.Sprintf("- %s: %s", d.Path, d.Old)
	}
	return fmt.Sprintf("~ %s: %s -> %s", d.Path, d.Old, d.New)
}

// Compare lists what changes from old to next, by path; entries of lists are
// named by their ids.
func Compare(old, next Document) []Difference {
	before, after := flatten(old), flatten(next)
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	var out []Difference
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if before[path] == after[path] {
			continue
		}
		d := Difference{Path: path, Old: before[path], New: after[path]}
		if hidden(path) {
			d.Old, d.New = mask(d.Old), mask(d.New)
		}
		out = append(out, d)
	}
	return out
}

func hidden(path string) bool {
	return strings.HasSuffix(path, "secret") || strings.HasSuffix(path, "access_token") || strings.HasSuffix(path, "verify_token")
}

func mask(value string) string {
	if value == "" {
		return ""
	}
	return "(hidden)"
}

// flatten maps each path of a document to its value.
func flatten(d Document) map[string]string {
	d.FileDigest, d.AppliedDigest, d.Format = "", "", 0
	data, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil
	}
	out := map[string]string{}
	flattenInto(out, "", tree)
	delete(out, "format")
	return out
}

func flattenInto(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			flattenInto(out, join(path, key), child)
		}
	case []any:
		for i, child := range v {
			flattenInto(out, fmt.Sprintf("%s[%s]", path, elementName(i, child)), child)
		}
	case nil:
	case string:
		if v != "" {
			out[path] = v
		}
	default:
		out[path] = fmt.Sprint(v)
	}
}

// elementName is what a list's entry is called: its id, its app, its property,
// itself when it is a text, else its place.
func elementName(i int, v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"id", "app", "property"} {
			if id, ok := v[key].(string); ok {
				return id
			}
		}
	case string:
		return v[:min(len(v), 40)]
	}
	return fmt.Sprint(i)
}
