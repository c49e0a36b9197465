package graphapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/telemetry"
)

// call is one Graph call: a request of its own, or one of a batch.
type call struct {
	method string
	path   graph.Path
	params graph.Params
	// authorization and idempotencyKey are the headers that count.
	authorization  string
	idempotencyKey string
	origin         origin
	// upload is set for a multipart call whose file has not been read.
	upload *graph.Multipart
	// spooled says that the file was read to disk, and release gives it up.
	spooled bool
	release func()
	// trace is where the request's errors and log lines can be found.
	trace telemetry.TraceID
	// token, snapshot and caller are set by authenticate.
	token    string
	snapshot *roster.Snapshot
	caller   *roster.Caller
	usage    Usage
}

// origin is the address under which the client reached Baton, or the proxy in
// front of it.
type origin struct {
	secure bool
	host   string
}

func originOf(r *http.Request) origin {
	return origin{secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https", host: r.Host}
}

func (o origin) String() string {
	if o.secure {
		return "https://" + o.host
	}
	return "http://" + o.host
}

// newID is a command id: 16 random bytes.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// question is a request to the holder of the thread, without its verb. Its id
// is made here, once per call: a repeat carries the same.
func (c *call) question(person uint64) *commandv1.Request {
	id := newID()
	q := &commandv1.Request{
		Id: id[:], Asset: c.caller.Asset.ID, Person: person, App: uint64(c.caller.App.Number),
		RosterVersion: c.snapshot.Version(), Trace: c.trace[:],
	}
	if c.idempotencyKey != "" {
		q.IdempotencyKey, q.Digest = c.key(), c.digest()
	}
	return q
}

// key is the hash of who called with which Idempotency-Key.
func (c *call) key() []byte {
	id := c.caller.App.ID + "\x00" + strconv.FormatUint(c.caller.Asset.ID, 10) + "\x00" + c.idempotencyKey
	sum := sha256.Sum256([]byte(id))
	return sum[:16]
}

// digest tells calls apart: the edge and all parameters but tokens.
func (c *call) digest() uint64 {
	sum := sha256.Sum256([]byte(c.method + " " + c.path.Edge + "?" + c.params.Form().Encode()))
	return binary.BigEndian.Uint64(sum[:8])
}

// reply is the answer to one call.
type reply struct {
	status int
	code   int         // Graph code, zero for none
	header http.Header // beside those of every reply; nil for none
	body   []byte
	// stream, when set, is the body: it is read once, and closed.
	stream io.ReadCloser
}

const jsonType = "application/json; charset=UTF-8"

// Values of headers and a body, shared by all replies: nobody writes into them.
//
//nolint:gochecknoglobals // constants
var (
	jsonTypes = []string{jsonType}
	noStore   = []string{"no-store"}
	succeeded = graph.Success()
)

// success is a reply with status 200.
func success(body []byte) reply { return reply{status: http.StatusOK, body: body} }

// failure is a reply with a Graph error.
func failure(e *graph.Error) reply {
	r := reply{status: e.Status, code: e.Code, body: e.Body()}
	if challenge := e.WWWAuthenticate(); challenge != "" {
		r.headers().Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		r.headers().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	return r
}

// headers are the reply's own, to be added to. A reply without has the type
// JSON.
func (r *reply) headers() http.Header {
	if r.header == nil {
		r.header = http.Header{"Content-Type": jsonTypes}
	}
	return r.header
}

// autoLength is from where on net/http does not count the bytes of a body itself.
const autoLength = 2048

func (r reply) write(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["Date"] = jsonTypes, noStore, date(time.Now())
	maps.Copy(h, r.header)
	if r.stream != nil {
		defer func() { _ = r.stream.Close() }()
		w.WriteHeader(r.status)
		_, _ = io.Copy(w, r.stream) // cut off, the client sees that its end is missing
		return
	}
	if len(r.body) >= autoLength {
		h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the client's loss
}
