package roster

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// variables warns of BATON_… variables that set nothing: most are misspelt.
func (k *checker) variables(c *Config, environ map[string]string) {
	scalars := map[string]reflect.Value{}
	listScalars(reflect.ValueOf(c).Elem(), "", scalars)
	known := []string{"BATON_ADMIN", "BATON_ADMIN_TOKEN", "BATON_ADMIN_CA", "BATON_ADMIN_CERT", "BATON_ADMIN_KEY"}
	for path := range scalars {
		known = append(known, variable(path))
	}
	slices.Sort(known)
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !strings.HasPrefix(name, "BATON_") || slices.Contains(known, name) {
			continue
		}
		if near := suggestion(name, known); near != "" {
			k.warn(name + " sets nothing" + near)
		}
	}
}
