package embedded

import (
	"bytes"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"testing"
)

// TestServerServesAsItIsLinked reads in the server's source that the functions
// which are linked in by name still take and return what is declared here: the
// linker looks at names alone.
func TestServerServesAsItIsLinked(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"createClientInProcess": "*Server: func(conn net.Conn) *client",
		"streams":               "*Account: func() []*stream",
		"Store":                 "*stream: func() StreamStore",
		"forceWriteFullState":   "*fileStore: func() error",
	} {
		if found := declared(t, name, want); len(found) != 1 {
			t.Errorf("the server has %q of %s, want %q alone: what is linked must be declared like it", found, name, want)
		}
	}
}

// declared returns the methods of the server with that name and the receiver
// of want that are as wanted; or all that there are of the name.
func declared(t *testing.T, method, want string) (found []string) {
	t.Helper()
	pkg, err := build.Import("github.com/nats-io/nats-server/v2/server", ".", 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range pkg.GoFiles {
		source, err := os.ReadFile(filepath.Join(pkg.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(source, []byte(") "+method+"(")) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == method && f.Recv != nil {
				says := types.ExprString(f.Recv.List[0].Type) + ": " + types.ExprString(f.Type)
				if all = append(all, says); says == want {
					found = append(found, says)
				}
			}
		}
	}
	if len(found) == 0 {
		return all
	}
	return found
}
