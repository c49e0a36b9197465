package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MaxDocumentBytes bounds one stored version.
const MaxDocumentBytes = 8 << 20

// documentFormat is raised when an older Baton could misread a document.
const documentFormat = 1

// Errors of documents. Callers compare with errors.Is.
var (
	// ErrNewerFormat: the document was written by a newer Baton.
	ErrNewerFormat = errors.New("roster: the stored roster is of a newer format; run the Baton that wrote it, or a newer one")
	// ErrDocument: the stored bytes are not a roster.
	ErrDocument = errors.New("roster: the stored roster cannot be read")
	// ErrTooLarge: the roster does not fit into one version.
	ErrTooLarge = fmt.Errorf("roster: the roster is larger than %d MiB", MaxDocumentBytes>>20)
)

// Document is one version of the roster as it is stored on baton.roster. It is
// a value: edits return another one and leave this one alone. It holds the
// apps' secrets, which sign, and hashes of the apps' tokens, not the tokens.
type Document struct {
	Format int `json:"format"`
	// BatonApp is Baton's own app on the platform.
	BatonApp string `json:"baton_app,omitempty"`
	Apps     []App  `json:"apps"`
	Pages    []Page `json:"pages"`
	// Revoked tokens stay invalid even when a file still lists them.
	Revoked []TokenHash `json:"revoked,omitempty"`
	// ChangedBy is the operator who applied the apps and pages at run time;
	// empty when they come from the file read at a start.
	ChangedBy string `json:"changed_by,omitempty"`
	// FileDigest is that of the file last applied at a start, AppliedDigest of
	// the one applied at run time since.
	FileDigest    string `json:"file_digest,omitempty"`
	AppliedDigest string `json:"applied_digest,omitempty"`
}

// ParseDocument reads stored bytes; none is the empty document. Errors:
// ErrNewerFormat, ErrDocument.
func ParseDocument(data []byte) (Document, error) {
	if len(data) == 0 {
		return Document{Format: documentFormat}, nil
	}
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	switch {
	case d.Format > documentFormat:
		return Document{}, ErrNewerFormat
	case d.Format < 1:
		return Document{}, fmt.Errorf("%w: it has no format", ErrDocument)
	}
	return d, nil
}

// Encode writes the document for storage. Errors: ErrTooLarge, or a menu that
// is not JSON.
func (d Document) Encode() ([]byte, error) {
	d.Format = documentFormat
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("roster: encode: %w", err)
	}
	if len(data) > MaxDocumentBytes {
		return nil, ErrTooLarge
	}
	return data, nil
}

// Digest identifies what a configuration says about apps, pages and Baton's own
// app, secrets included: a rotated secret behind env: counts as a change, a
// comment or another setting does not.
func Digest(c Config) string {
	data, err := json.Marshal(fromConfig(c))
	if err != nil {
		panic("roster: a checked configuration does not encode: " + err.Error()) //nolint:forbidigo // Load has checked it
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// FromConfig is the document after the start with a configuration: previous
// itself (applied false) when the configuration is the one applied last, so
// that run-time changes survive, else Replace. The configuration must come from
// Load with its secrets resolved.
func FromConfig(c Config, previous Document) (next Document, applied bool) {
	if digest := Digest(c); digest == previous.FileDigest || digest == previous.AppliedDigest {
		return previous, false
	}
	return Replace(c, previous), true
}

// Replace makes the configuration's apps and pages the roster, whatever was
// changed at run time. Page-level profiles, which a file cannot say, stay; and
// revoked tokens stay revoked.
func Replace(c Config, previous Document) Document {
	d := fromConfig(c)
	d.FileDigest = Digest(c)
	return d.succeeding(previous)
}

// Proposal is the document that a configuration alone describes, to be applied
// at run time: Succeed makes it the next version of a roster.
func Proposal(c Config) Document {
	d := fromConfig(c)
	d.AppliedDigest = Digest(c)
	return d
}

// Succeed is the version after previous that has the apps and pages of a
// Proposal. What a file cannot say, and Baton's own app, stay as they were. The
// error names what does not fit together.
func (d Document) Succeed(previous Document) (Document, error) {
	d.BatonApp, d.FileDigest = previous.BatonApp, previous.FileDigest
	return d.succeeding(previous).checked()
}

// succeeding keeps of previous what a file cannot say.
func (d Document) succeeding(previous Document) Document {
	d.Revoked = previous.Revoked
	for i := range d.Pages {
		p := &d.Pages[i]
		if j := previous.pageIndex(p.ID); j >= 0 {
			p.Profile = previous.Pages[j].Profile
		}
		for j := range p.Apps {
			p.Apps[j].Tokens = slices.DeleteFunc(p.Apps[j].Tokens, func(h TokenHash) bool { return slices.Contains(d.Revoked, h) })
		}
	}
	return d
}

// fromConfig is the document that a configuration alone describes.
func fromConfig(c Config) Document {
	d := Document{Format: documentFormat, BatonApp: c.Platform.AppID, Apps: slices.Clone(c.Apps), Pages: slices.Clone(c.Pages)}
	for i := range d.Pages {
		d.Pages[i].Apps = slices.Clone(d.Pages[i].Apps)
		for j := range d.Pages[i].Apps {
			conn := &d.Pages[i].Apps[j]
			conn.Tokens = conn.hashes()
			conn.AccessToken, conn.AccessTokens = Secret{}, nil
		}
	}
	return d
}

func (d Document) pageIndex(id string) int {
	return slices.IndexFunc(d.Pages, func(p Page) bool { return p.ID == id })
}

func (d Document) appIndex(id string) int {
	return slices.IndexFunc(d.Apps, func(a App) bool { return a.ID == id })
}

func (p *Page) connection(app string) *Connection {
	i := slices.IndexFunc(p.Apps, func(c Connection) bool { return c.App == app })
	if i < 0 {
		return nil
	}
	return &p.Apps[i]
}
