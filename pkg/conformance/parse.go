package conformance

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

//go:embed vectors/*.yaml
var embedded embed.FS

// Vectors returns the vectors that come with the kit: rows in the order of the
// table's files, then stories. The error can only be a fault of the kit itself.
func Vectors() ([]Vector, error) {
	names, err := fs.Glob(embedded, "vectors/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Vector
	for _, name := range names {
		data, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list, err := Parse(path.Base(name), data)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, unique(all)
}

// Parse reads a file of vectors: a YAML list. Unknown keys, keys that do not go
// with a step, unknown words and missing parts are errors that name the line.
func Parse(name string, data []byte) ([]Vector, error) {
	var list []Vector
	if err := strictly(name, data, &list); err != nil {
		return nil, err
	}
	var faults []error
	for i := range list {
		list[i].file = name
		for _, err := range list[i].check() {
			faults = append(faults, fmt.Errorf("%s:%w", name, err))
		}
	}
	return list, errors.Join(faults...)
}

// strictly decodes YAML; an error names file and line.
func strictly(name string, data []byte, into any) (err error) {
	defer func() {
		if fault := recover(); fault != nil { // the decoder does not check every document before it walks it
			err = fmt.Errorf("%s: this YAML cannot be read: %v", name, fault)
		}
	}()
	err = yaml.UnmarshalWithOptions(data, into, yaml.Strict())
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s:%w", name, placed(1, err))
}

// placedError is a fault in a line.
type placedError struct {
	line int
	text string
}

func (e *placedError) Error() string { return fmt.Sprintf("%d: %s", e.line, e.text) }

func at(line int, format string, args ...any) error {
	return &placedError{line, fmt.Sprintf(format, args...)}
}

// placed gives an error of the decoder, which knows its line, to a place of
// ours when it does not.
func placed(line int, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*placedError](err); ok {
		return known
	}
	if syntax, ok := errors.AsType[yaml.Error](err); ok && syntax.GetToken() != nil {
		return at(syntax.GetToken().Position.Line, "%s", syntax.GetMessage())
	}
	return at(line, "%s", err)
}

// UnmarshalYAML reads a vector and remembers its line.
func (v *Vector) UnmarshalYAML(n ast.Node) error {
	type plain Vector
	line := lineOf(n)
	err := yaml.NodeToValue(n, (*plain)(v), yaml.Strict())
	v.line = line
	return placed(line, err)
}

// UnmarshalYAML reads a step and remembers its line and the keys it has.
func (s *Step) UnmarshalYAML(n ast.Node) error {
	type plain Step
	line := lineOf(n)
	err := yaml.NodeToValue(n, (*plain)(s), yaml.Strict())
	s.line, s.keys = line, map[string]bool{}
	for _, key := range keysOf(n) {
		s.keys[key] = true
	}
	return placed(line, err)
}

// UnmarshalYAML reads one item or a list of items.
func (h *Heard) UnmarshalYAML(n ast.Node) error {
	var texts []string
	if _, isList := n.(*ast.SequenceNode); isList {
		if err := yaml.NodeToValue(n, &texts, yaml.Strict()); err != nil {
			return placed(lineOf(n), err)
		}
	} else {
		texts = make([]string, 1)
		if err := yaml.NodeToValue(n, &texts[0], yaml.Strict()); err != nil {
			return placed(lineOf(n), err)
		}
	}
	for _, text := range texts {
		item, err := parseItem(text)
		if err != nil {
			return at(lineOf(n), "%s", err)
		}
		*h = append(*h, item)
	}
	return nil
}

func lineOf(n ast.Node) int {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return n.Values[0].Key.GetToken().Position.Line
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken().Position.Line
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func keysOf(n ast.Node) []string {
	var keys []string
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			keys = append(keys, v.Key.GetToken().Value)
		}
	case *ast.MappingValueNode:
		keys = append(keys, n.Key.GetToken().Value)
	}
	return keys
}

// unique reports vectors that claim the same row or story in the same mode.
func unique(all []Vector) error {
	seen := map[string]string{}
	var faults []error
	for i := range all {
		v := &all[i]
		place := fmt.Sprintf("%s:%d", v.file, v.line)
		for _, mode := range v.In {
			name := v.Name() + " " + string(mode)
			if first, ok := seen[name]; ok {
				faults = append(faults, fmt.Errorf("%s: %s in mode %s stands already at %s", place, v.Name(), mode, first))
			}
			seen[name] = place
		}
	}
	return errors.Join(faults...)
}

// oneOf reports whether every word is one of the words of the list.
func oneOf(list string, words ...string) bool {
	known := strings.Fields(list)
	for _, w := range words {
		if !slices.Contains(known, w) {
			return false
		}
	}
	return true
}
