package main

import (
	"strings"
	"testing"
)

func TestGoBlocksMustCompile(t *testing.T) {
	t.Parallel()
	files := func() map[string]string { return map[string]string{"go.mod": "module example\n\ngo 1.26\n"} }
	_, printed, err := document(t,
		fenced("go", "package main", "", `import "fmt"`, "", `func main() { fmt.Println("hi") }`)+
			fenced("go", `import "strings"`, "", "var _ = strings.Cut"), files())
	if err != nil {
		t.Fatal(err, printed)
	}
	_, _, err = document(t, fenced("go", "func f() { return 1 }"), files())
	if err == nil || !strings.Contains(err.Error(), "README.md:2: go vet of this go block") {
		t.Error(err)
	}
}

// checker stands for bin/baton: it wants the secrets that the file names.
const checker = "build:\n\t@mkdir -p bin; printf '#!/bin/sh\\n[ -n \"$$S1\" ] && [ -s secrets/a ] && ! grep -q wrong \"$$3\"\\n' >bin/baton; chmod +x bin/baton\n"

func TestConfigurationsAreChecked(t *testing.T) {
	t.Parallel()
	good := fenced("yaml", "# baton.yaml", "a: env:S1", `b: "file:secrets/a"`)
	_, printed, err := document(t, good+fenced("yaml", "not: checked")+fenced("console", "$ echo $S1", ""), map[string]string{"Makefile": checker})
	if err != nil {
		t.Fatal(err, printed)
	}
	_, _, err = document(t, strings.Replace(good, "a:", "wrong:", 1), map[string]string{"Makefile": checker})
	if err == nil || !strings.Contains(err.Error(), "README.md:2: bin/baton check") {
		t.Error(err)
	}
}
