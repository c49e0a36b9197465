package roster

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a configuration file.
const (
	maxFileBytes = 8 << 20
	maxNodes     = 1 << 20
	maxNesting   = 100
)

// place is where a path of the document stands.
type place struct{ line, column int }

// decoder reads a YAML tree into structs by their yaml tags. It goes on after
// each fault, and remembers where every path stands, so that later checks can
// name a line too.
type decoder struct {
	source  string
	faults  Faults
	places  map[string]place
	anchors map[string]ast.Node
	nodes   int
}

func newDecoder(source string) *decoder {
	return &decoder{source: source, places: map[string]place{}, anchors: map[string]ast.Node{}}
}

// decode fills v, a pointer to a struct, from a file.
func (d *decoder) decode(data []byte, v any) {
	d.places[""] = place{1, 1}
	if len(data) > maxFileBytes {
		d.fail(place{1, 1}, "the file is larger than 8 MiB")
		return
	}
	if tooNested(data) {
		d.fail(place{1, 1}, "the file is nested too deeply")
		return
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return
	}
	if len(file.Docs) > 1 {
		at := place{1, 1}
		if start := file.Docs[1].Start; start != nil {
			at = place{start.Position.Line, start.Position.Column}
		}
		d.fail(at, "more than one document in the file")
	}
	if len(file.Docs) > 0 && file.Docs[0].Body != nil {
		d.value(file.Docs[0].Body, reflect.ValueOf(v).Elem(), "")
	}
}

// tooNested guards the parser, which recurses, against hostile nesting.
func tooNested(data []byte) bool {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxNesting {
			return true
		}
	}
	for line := range strings.Lines(string(data)) {
		marks := len(line) - len(strings.TrimLeft(line, " -?:&!\t"))
		if strings.Count(line[:marks], "-")+strings.Count(line[:marks], "?") > maxNesting {
			return true
		}
		if len(line)-len(strings.TrimLeft(line, " ")) > 4*maxNesting {
			return true
		}
	}
	return false
}

func (d *decoder) syntax(err error) {
	at, text := place{1, 1}, err.Error()
	if parse, ok := errors.AsType[yaml.Error](err); ok {
		text = parse.GetMessage()
		if tk := parse.GetToken(); tk != nil && tk.Position != nil {
			at = place{tk.Position.Line, tk.Position.Column}
		}
	}
	d.fail(at, "%s", text)
}

func (d *decoder) fail(at place, format string, args ...any) {
	d.faults = append(d.faults, Fault{Source: d.source, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)})
}

func placeOf(n ast.Node) place {
	tk := n.GetToken()
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.Start != nil && n.IsFlowStyle {
			tk = n.Start
		} else if len(n.Values) > 0 {
			return placeOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

// plain follows anchors, aliases and tags to the node that holds the value.
func (d *decoder) plain(n ast.Node) ast.Node {
	for range maxNesting {
		switch m := n.(type) {
		case *ast.AnchorNode:
			d.anchors[m.Name.GetToken().Value] = m.Value
			n = m.Value
		case *ast.AliasNode:
			target, ok := d.anchors[m.Value.GetToken().Value]
			if !ok {
				d.fail(placeOf(m), "unknown alias %q", m.Value.GetToken().Value)
				return nil
			}
			n = target
		case *ast.TagNode:
			n = m.Value
		default:
			return n
		}
	}
	d.fail(place{1, 1}, "aliases refer to each other")
	return nil
}

// value reads n into v, which stands at path.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(place{1, 1}, "the file holds too many values")
		}
		return
	}
	if n = d.plain(n); n == nil {
		return
	}
	if _, ok := n.(*ast.NullNode); ok {
		return // null leaves the default
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if text, ok := d.scalar(n, path); ok {
			d.set(n, path, u.UnmarshalText([]byte(text)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Map:
		d.dictionary(n, v, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	default:
		if text, ok := d.scalar(n, path); ok {
			d.set(n, path, setScalar(v, text))
		}
	}
}

func (d *decoder) set(n ast.Node, path string, err error) {
	if err != nil {
		d.fail(placeOf(n), "%s: %s", path, err)
	}
}

// scalar returns the text of a scalar as it was written, so that an id without
// quotes keeps all its digits.
func (d *decoder) scalar(n ast.Node, path string) (string, bool) {
	switch m := n.(type) {
	case *ast.StringNode:
		return m.Value, true
	case *ast.LiteralNode:
		return m.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	d.fail(placeOf(n), "%s: expected a single value, found %s", path, describe(n))
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.GetToken().Value)
}

// setScalar parses text into a string, number or switch.
func setScalar(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	default:
		return fmt.Errorf("values of kind %s cannot be configured", v.Kind())
	}
	return nil
}

// entries lists the key and value pairs of a mapping, without repeated keys.
func (d *decoder) entries(n ast.Node, path string) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		all = m.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{m}
	default:
		d.fail(placeOf(n), "%s: expected a mapping, found %s", orTop(path), describe(n))
		return nil
	}
	seen := make(map[string]place, len(all))
	unique := all[:0:0]
	for _, e := range all {
		key := e.Key.GetToken().Value
		at := placeOf(e.Key)
		if first, ok := seen[key]; ok {
			d.fail(at, "key %q in %s stands already in line %d", key, orTop(path), first.line)
			continue
		}
		seen[key] = at
		if e.Key.GetToken().Type == token.MergeKeyType {
			d.fail(at, "merge keys are not supported")
			continue
		}
		unique = append(unique, e)
	}
	return unique
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	known := keys(v.Type())
	for _, e := range d.entries(n, path) {
		key := e.Key.GetToken().Value
		at := placeOf(e.Key)
		i := slices.Index(known, key)
		if i < 0 {
			d.fail(at, "unknown key %q in %s%s", key, orTop(path), suggestion(key, known))
			continue
		}
		child := join(path, key)
		d.places[child] = at
		d.value(e.Value, v.FieldByIndex(fieldIndex(v.Type(), key)), child)
	}
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(placeOf(n), "%s: expected a list, found %s", path, describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, min(len(list.Values), 1024)))
	for i, item := range list.Values {
		child := path + "[" + strconv.Itoa(i) + "]"
		d.places[child] = placeOf(item)
		element := newElement(v.Type().Elem())
		d.value(item, element, child)
		v.Set(reflect.Append(v, element))
	}
}

func (d *decoder) dictionary(n ast.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(n, path) {
		key := e.Key.GetToken().Value
		child := path + "[" + strconv.Quote(key) + "]"
		d.places[child] = placeOf(e.Key)
		element := newElement(v.Type().Elem())
		d.value(e.Value, element, child)
		v.SetMapIndex(reflect.ValueOf(key), element)
	}
}

// newElement is an entry of a list with its defaults.
func newElement(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch p := v.Addr().Interface().(type) {
	case *App:
		*p = defaultApp()
	case *Page:
		*p = defaultPage()
	case *Connection:
		*p = defaultConnection()
	case *AdRoute:
		p.Days = 1
	}
	return v
}

// keys lists the yaml keys of a struct.
func keys(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		if name := field.Tag.Get("yaml"); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func fieldIndex(t reflect.Type, key string) []int {
	for field := range t.Fields() {
		if field.Tag.Get("yaml") == key {
			return field.Index
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orTop(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}
