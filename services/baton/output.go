package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// print writes a result: as JSON when asked, else by the table function.
func (s *streams) print(g *Global, m proto.Message, table func(*tabwriter.Writer)) error {
	if g.Output == "json" {
		return s.json(m)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// json writes a message as indented JSON with the proto's field names.
func (s *streams) json(m proto.Message) error {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	// protojson varies its white space on purpose; output is compared, so it
	// is laid out again.
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, b.String())
	return err
}

// line writes one line of a stream of results: text, or the message as JSON.
func (s *streams) line(g *Global, m proto.Message, text string) error {
	if g.Output != "json" {
		_, err := fmt.Fprintln(s.out, text)
		return err
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, b.String())
	return err
}

// row writes tab-separated cells, "-" for empty ones.
func row(w *tabwriter.Writer, cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
}
