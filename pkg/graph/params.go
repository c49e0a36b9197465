package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bound what is decoded. A zero field stands for its default.
type Limits struct {
	MaxBytes  int // of a body, and of all fields of a multipart body; default 4 MiB
	MaxDepth  int // of JSON containers inside one another; default 32
	MaxParams int // parameters of one request; default 200
}

func (l Limits) withDefaults() Limits {
	if l.MaxBytes == 0 {
		l.MaxBytes = 4 << 20
	}
	if l.MaxDepth == 0 {
		l.MaxDepth = 32
	}
	if l.MaxParams == 0 {
		l.MaxParams = 200
	}
	return l
}

// Params are the parameters of a request by name. The zero value has none.
type Params struct {
	// Method is the request's method, or the one that a POST names in its
	// parameter method; upper case.
	Method   string
	values   map[string]value
	maxDepth int
}

// value is a parameter: JSON from a JSON body, text from a form or the query.
type value struct {
	json []byte
	text string
}

// DecodeParams reads the parameters of a request: the query's, then the body's
// as its content type says. Without a content type, and for text/plain, the
// body tells by itself whether it is JSON. GET, HEAD: the body is ignored. A
// multipart body must have no file; see DecodeMultipart for those.
//
// The error is an *Error with code 100 that says what is wrong.
func DecodeParams(method string, query url.Values, contentType string, body []byte, limits Limits) (Params, error) {
	limits = limits.withDefaults()
	p := newParams(method, limits)
	if err := p.addForm(query, limits); err != nil {
		return Params{}, err
	}
	if err := p.addBody(contentType, body, limits); err != nil {
		return Params{}, err
	}
	p.override()
	return p, nil
}

func newParams(method string, limits Limits) Params {
	return Params{Method: strings.ToUpper(method), values: map[string]value{}, maxDepth: limits.MaxDepth}
}

func (p *Params) addBody(contentType string, body []byte, limits Limits) error {
	if p.Method == "GET" || p.Method == "HEAD" || len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if len(body) > limits.MaxBytes {
		return InvalidParameter(fmt.Sprintf("The request is longer than %d bytes", limits.MaxBytes))
	}
	switch bodyType(contentType, body) {
	case typeJSON:
		return p.addJSON(body, limits)
	case typeForm:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return InvalidParameter("The request body is not a valid form")
		}
		return p.addForm(form, limits)
	case typeMultipart:
		return p.addMultipart(contentType, body, limits)
	case typeUnknown:
	}
	return InvalidParameter("Unsupported content type " + strconv.QuoteToASCII(contentType))
}

type contentKind int

const (
	typeUnknown contentKind = iota
	typeJSON
	typeForm
	typeMultipart
)

func bodyType(contentType string, body []byte) contentKind {
	if contentType == "application/json" { // nearly always
		return typeJSON
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil { // a broken parameter does not make the type unknown
		media, _, _ = strings.Cut(strings.ToLower(contentType), ";")
		media = strings.TrimSpace(media)
	}
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json") || media == "text/json":
		return typeJSON
	case media == "application/x-www-form-urlencoded":
		return typeForm
	case media == "multipart/form-data":
		return typeMultipart
	case media != "" && media != "text/plain":
		return typeUnknown
	}
	if first := bytes.TrimSpace(body)[0]; first == '{' || first == '[' {
		return typeJSON
	}
	return typeForm
}

func (p *Params) addForm(form url.Values, limits Limits) error {
	var elements []string // names of the form list[0]
	for name, texts := range form {
		if len(texts) == 0 {
			continue
		}
		last := texts[len(texts)-1]
		if !utf8.ValidString(name) || !utf8.ValidString(last) {
			return InvalidParameter("The parameters are not UTF-8")
		}
		if _, _, ok := element(name); ok {
			elements = append(elements, name)
			continue
		}
		p.values[name] = value{text: last}
	}
	p.addElements(form, elements)
	return p.count(limits)
}

// addElements puts lists together that stand element by element in a form:
// fields[0]=a&fields[1]=b, or fields[]=a&fields[]=b, as some clients write them.
func (p *Params) addElements(form url.Values, names []string) {
	slices.SortFunc(names, func(a, b string) int {
		_, i, _ := element(a)
		_, j, _ := element(b)
		return cmp.Compare(i, j)
	})
	lists := map[string][]string{}
	for _, name := range names {
		list, _, _ := element(name)
		lists[list] = append(lists[list], form[name]...)
	}
	for name, list := range lists {
		p.values[name] = value{json: marshal(list)}
	}
}

// maxElements bounds the index of a list's element.
const maxElements = 1000

// element reads the name of a list's element: the list and its place there.
func element(name string) (list string, place int, ok bool) {
	list, index, ok := strings.Cut(strings.TrimSuffix(name, "]"), "[")
	if !ok || list == "" || !strings.HasSuffix(name, "]") {
		return "", 0, false
	}
	if index == "" {
		return list, 0, true
	}
	place, err := strconv.Atoi(index)
	return list, place, err == nil && place >= 0 && place < maxElements
}

func (p *Params) addJSON(body []byte, limits Limits) error {
	if err := checkJSON(body, limits.MaxDepth); err != nil {
		return InvalidParameter("The request body is not valid JSON: " + err.Error())
	}
	if !isObject(bytes.TrimSpace(body)) {
		return InvalidParameter("The request body must be a JSON object")
	}
	for m := range members(body) {
		if isNull(m.value) {
			delete(p.values, m.key)
			continue
		}
		p.values[m.key] = value{json: m.value}
	}
	return p.count(limits)
}

func (p *Params) count(limits Limits) error {
	if len(p.values) > limits.MaxParams {
		return InvalidParameter(fmt.Sprintf("More than %d parameters", limits.MaxParams))
	}
	return nil
}

// override honours the parameter method of a POST: some clients send every
// call that is not a GET as a POST that names its method.
func (p *Params) override() {
	if p.Method != "POST" {
		return
	}
	switch method := strings.ToUpper(p.Text("method")); method {
	case "GET", "DELETE", "PUT":
		p.Method = method
	}
}

// Has reports whether the parameter was given.
func (p Params) Has(name string) bool {
	_, ok := p.values[name]
	return ok
}

// Text is a parameter as text: a JSON string decoded, any other JSON value as
// it is written. "" when it was not given.
func (p Params) Text(name string) string {
	v := p.values[name]
	if v.json == nil {
		return v.text
	}
	if v.json[0] != '"' {
		return string(v.json)
	}
	s, _ := stringOf(v.json)
	return s
}

// JSON is a parameter that holds an object or an array, as strict JSON: from a
// JSON body, or from text that is JSON or the relaxed form of the
// documentation, {id:PSID} or {'id':'PSID'}. ok is false when the parameter was
// not given; the error is an *Error that names it.
func (p Params) JSON(name string) (raw []byte, ok bool, err error) {
	v, ok := p.values[name]
	if !ok {
		return nil, false, nil
	}
	if v.json != nil && v.json[0] != '"' {
		return v.json, true, nil
	}
	text := []byte(strings.TrimSpace(p.Text(name)))
	if checkJSON(text, p.maxDepth) == nil {
		return text, true, nil
	}
	raw, err = relax(text, p.maxDepth)
	if err != nil {
		return nil, true, InvalidParameter(fmt.Sprintf("Param %s must be valid JSON: %v", name, err))
	}
	return raw, true, nil
}

// List is a parameter that lists words: separated by commas, with or without
// spaces, or as a JSON array of strings. Empty words are dropped.
func (p Params) List(name string) []string {
	text := strings.TrimSpace(p.Text(name))
	var words []string
	if !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &words) != nil {
		words = strings.Split(text, ",")
	}
	kept := words[:0]
	for _, word := range words {
		if word = strings.TrimSpace(word); word != "" {
			kept = append(kept, word)
		}
	}
	return kept
}

// Form is every parameter as a form would carry it, for handing a call on.
// Access tokens, proofs and the method's name are left out.
func (p Params) Form() url.Values {
	form := url.Values{}
	for name := range p.values {
		switch name {
		case "access_token", "appsecret_proof", "appsecret_time", "method":
		default:
			form.Set(name, p.Text(name))
		}
	}
	return form
}
