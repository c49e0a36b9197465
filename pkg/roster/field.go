package roster

import "github.com/baton-router/baton/pkg/delivery"

// KnownField reports whether a webhook field exists under this name or an alias
// of it (protocol 12.17).
func KnownField(name string) bool {
	_, ok := delivery.ParseField(name)
	return ok
}

// FieldNames lists the fields by their Page names.
func FieldNames() []string {
	var names []string
	for f := delivery.Field(0); f.String() != ""; f++ {
		names = append(names, f.String())
	}
	return names
}

// fieldSet reads the names of fields; unknown ones do not count.
func fieldSet(names []string) delivery.FieldSet {
	var set delivery.FieldSet
	for _, name := range names {
		if f, ok := delivery.ParseField(name); ok {
			set |= delivery.Fields(f)
		}
	}
	return set
}
