package graph

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/url"
	"unicode/utf8"
)

// File is the file of a multipart request. Reading it reads the request.
type File struct {
	Field, Name, ContentType string
	io.Reader
}

// Multipart is a multipart request whose file has not been read yet.
type Multipart struct {
	// Params are the fields in front of the file, and after Finish those
	// behind it as well.
	Params Params
	// File is nil when there is none.
	File   *File
	reader *multipart.Reader
	limits Limits
	left   int
}

// DecodeMultipart reads the fields of a multipart/form-data body up to its
// first file, which it leaves to the caller to read. Fields are bounded by
// limits; the bound of the file is the caller's. The error is an *Error with
// code 100.
func DecodeMultipart(method string, query url.Values, contentType string, body io.Reader, limits Limits) (*Multipart, error) {
	limits = limits.withDefaults()
	_, arguments, err := mime.ParseMediaType(contentType)
	if err != nil || arguments["boundary"] == "" {
		return nil, InvalidParameter("The multipart request has no boundary")
	}
	m := &Multipart{
		Params: newParams(method, limits), reader: multipart.NewReader(body, arguments["boundary"]),
		limits: limits, left: limits.MaxBytes,
	}
	if err := m.Params.addForm(query, limits); err != nil {
		return nil, err
	}
	if m.File, err = m.fields(); err != nil {
		return nil, err
	}
	m.Params.override()
	return m, nil
}

// Finish reads the fields behind the file, after the caller has read the file,
// and adds them to Params. A second file is an error.
func (m *Multipart) Finish() error {
	file, err := m.fields()
	if err == nil && file != nil {
		err = InvalidParameter("More than one file in the request")
	}
	m.Params.override()
	return err
}

// fields reads fields up to the next file, or to the end.
func (m *Multipart) fields() (*File, error) {
	for {
		part, err := m.reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // no file is no error
		}
		if err != nil {
			return nil, InvalidParameter("The multipart request is broken")
		}
		if part.FileName() != "" {
			return &File{Field: part.FormName(), Name: part.FileName(), ContentType: part.Header.Get("Content-Type"), Reader: part}, nil
		}
		if err := m.field(part); err != nil {
			return nil, err
		}
	}
}

func (m *Multipart) field(part *multipart.Part) error {
	text, err := io.ReadAll(io.LimitReader(part, int64(m.left)+1))
	switch {
	case err != nil:
		return InvalidParameter("The multipart request is broken")
	case len(text) > m.left:
		return InvalidParameter(fmt.Sprintf("The fields of the request are longer than %d bytes", m.limits.MaxBytes))
	case !utf8.Valid(text) || !utf8.ValidString(part.FormName()):
		return InvalidParameter("The parameters are not UTF-8")
	}
	m.left -= len(text)
	if part.FormName() != "" {
		m.Params.values[part.FormName()] = value{text: string(text)}
	}
	return m.Params.count(m.limits)
}

// addMultipart reads a body that is all in memory.
func (p *Params) addMultipart(contentType string, body []byte, limits Limits) error {
	m, err := DecodeMultipart(p.Method, nil, contentType, bytes.NewReader(body), limits)
	if err != nil {
		return err
	}
	if m.File != nil {
		return InvalidParameter("A file is not accepted here")
	}
	maps.Copy(p.values, m.Params.values)
	return p.count(limits)
}
