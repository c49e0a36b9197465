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

// TestServerServesAsItIsLinked reads in the server's source that the function
// which is linked in by name still takes and returns what serveConn says: the
// linker looks at names alone.
func TestServerServesAsItIsLinked(t *testing.T) {
	t.Parallel()
	pkg, err := build.Import("github.com/nats-io/nats-server/v2/server", ".", 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range pkg.GoFiles {
		source, err := os.ReadFile(filepath.Join(pkg.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(source, []byte(") createClientInProcess(")) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "createClientInProcess" {
				found = append(found, types.ExprString(f.Recv.List[0].Type)+": "+types.ExprString(f.Type))
			}
		}
	}
	if want := "*Server: func(conn net.Conn) *client"; len(found) != 1 || found[0] != want {
		t.Fatalf("the server has %q, want %q alone: serveConn must be declared like it", found, want)
	}
}
