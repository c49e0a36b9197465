package roster

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Source is what a configuration is read from.
type Source struct {
	// Name of the file as faults show it.
	Name string
	// Data is the file's content; empty changes nothing of the defaults.
	Data []byte
	// Environ is the environment in os.Environ's form: BATON_… overrides, and
	// the values of env: secrets.
	Environ []string
	// Flags override everything: a key's path ("listen.public") to its value.
	Flags map[string]string
	// ReadFile reads file: secrets, relative to the working directory;
	// os.ReadFile when nil.
	ReadFile func(string) ([]byte, error)
	// KeepReferences leaves env: and file: secrets unresolved, to check a file
	// where its secrets are not at hand.
	KeepReferences bool
	// RosterOnly checks apps and pages and nothing else: what `apply -f` uses.
	RosterOnly bool
}

// Load reads a configuration: defaults, then the file, then BATON_… variables,
// then flags. The error is Faults: all of them, with their lines. Load reads
// the files of file: secrets and nothing else.
func Load(s Source) (Config, error) {
	c := Default()
	d := newDecoder(s.Name)
	d.decode(s.Data, &c)
	environ := environment(s.Environ)
	d.override(&c, environ, s.Flags)
	if c.Platform.GraphURL == Simulator && c.Platform.AppID == "" {
		c.Platform.AppID = simulatorApp
	}
	d.resolve(&c, s, environ)
	check := &checker{report: d.at, warn: func(text string) { c.Warnings = append(c.Warnings, text) }}
	if !s.RosterOnly {
		check.settings(&c)
		check.variables(&c, environ)
	}
	check.roster(c.Platform.AppID, c.Platform.GraphURL == Simulator || s.RosterOnly, c.Apps, c.Pages)
	if len(d.faults) > 0 {
		return Config{}, d.faults.sorted()
	}
	return c, nil
}

// simulatorApp is Baton's own app where the simulator is the platform and the
// file names none.
const simulatorApp = "700000000009999"

// LoadFile is Load of a file.
func LoadFile(name string, environ []string, flags map[string]string) (Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Config{}, Faults{{Source: name, Text: err.Error()}}
	}
	return Load(Source{Name: name, Data: data, Environ: environ, Flags: flags})
}

// at reports a fault at a path: its own line, or that of the nearest key above
// it that the file has.
func (d *decoder) at(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	for p := path; ; p = parent(p) {
		if at, ok := d.places[p]; ok {
			if at.line == 0 {
				d.faults = append(d.faults, Fault{Source: variable(p), Text: text})
				return
			}
			d.fail(at, "%s", text)
			return
		}
		if p == "" {
			d.fail(place{1, 1}, "%s", text)
			return
		}
	}
}

// parent cuts the last key or index off a path.
func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		if head, _, ok := strings.Cut(path, `["`); ok {
			return head
		}
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func environment(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			m[name] = value
		}
	}
	return m
}

// variable is the environment variable of a path.
func variable(path string) string {
	return "BATON_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// override sets single values from the environment and from flags.
func (d *decoder) override(c *Config, environ, flags map[string]string) {
	scalars := map[string]reflect.Value{}
	listScalars(reflect.ValueOf(c).Elem(), "", scalars)
	for path, v := range scalars {
		if text, ok := environ[variable(path)]; ok {
			d.setOverride(v, path, variable(path), text)
		}
		if text, ok := flags[path]; ok {
			d.setOverride(v, path, "--"+path, text)
		}
	}
	for path := range flags {
		if _, ok := scalars[path]; !ok {
			known := make([]string, 0, len(scalars))
			for p := range scalars {
				known = append(known, p)
			}
			slices.Sort(known)
			d.faults = append(d.faults, Fault{Source: "--" + path, Text: "no such setting" + suggestion(path, known)})
		}
	}
}

func (d *decoder) setOverride(v reflect.Value, path, source, text string) {
	d.places[path] = place{} // line 0: later faults name the variable
	var err error
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		err = u.UnmarshalText([]byte(text))
	} else {
		err = setScalar(v, text)
	}
	if err != nil {
		d.faults = append(d.faults, Fault{Source: source, Text: err.Error()})
	}
}

// listScalars finds the single values of a configuration by path; lists and
// maps have none.
func listScalars(v reflect.Value, path string, into map[string]reflect.Value) {
	if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		into[path] = v
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, key := range keys(v.Type()) {
			listScalars(v.FieldByIndex(fieldIndex(v.Type(), key)), join(path, key), into)
		}
	case reflect.String, reflect.Bool, reflect.Int:
		into[path] = v
	default:
	}
}

// resolve looks up the secrets that s asks for.
func (d *decoder) resolve(c *Config, s Source, environ map[string]string) {
	if s.KeepReferences {
		return
	}
	if s.RosterOnly {
		d.resolveSecrets(reflect.ValueOf(&c.Apps).Elem(), "apps", environ, s.ReadFile)
		d.resolveSecrets(reflect.ValueOf(&c.Pages).Elem(), "pages", environ, s.ReadFile)
		return
	}
	d.resolveSecrets(reflect.ValueOf(c).Elem(), "", environ, s.ReadFile)
}

// resolveSecrets looks up every reference below v.
func (d *decoder) resolveSecrets(v reflect.Value, path string, environ map[string]string, readFile func(string) ([]byte, error)) {
	if readFile == nil {
		readFile = os.ReadFile
	}
	if s, ok := reflect.TypeAssert[*Secret](v.Addr()); ok {
		env := func(name string) (string, bool) { value, ok := environ[name]; return value, ok }
		if err := s.resolve(env, readFile); err != nil {
			d.at(path, "%s", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, key := range keys(v.Type()) {
			d.resolveSecrets(v.FieldByIndex(fieldIndex(v.Type(), key)), join(path, key), environ, readFile)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.resolveSecrets(v.Index(i), fmt.Sprintf("%s[%d]", path, i), environ, readFile)
		}
	default:
	}
}
