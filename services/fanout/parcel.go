package fanout

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/webhook"
)

// Names of the headers of a delivery. Source: protocol 12.4.
const (
	headerDeliveryID = "Baton-Delivery-Id"
	headerAttempt    = "Baton-Attempt"
	headerSHA1       = "X-Hub-Signature"
	headerSHA256     = "X-Hub-Signature-256"
)

// parcel is what a POST is made of: its body, its headers, the watch over its
// connection. An engine uses a parcel again for a later POST.
type parcel struct {
	// secret and previous are those that the signers were made with.
	secret, previous string
	signer           *webhook.Signer
	standard         *webhook.StandardSigner
	target           string
	flight           *flight       // of the POST; nil for one to be made
	request          *http.Request // to target, by the flight
	// letters, lanes and verdicts are the batch's, memory of the one before.
	letters  []*letter
	lanes    []*lane
	verdicts []verdict
	entries  []webhook.Entry
	text     []byte // the body
	header   http.Header
	values   [slots]string // of the headers, by their slots
	reader   body
	ids      []byte
	trace    httptrace.ClientTrace
	reused   bool
	got      time.Time // when there was a connection; zero for not
	first    time.Time // when the first byte of the answer came; zero for not
	answer   [maxAnswerKept]byte
	rest     [1 << 10]byte
}

// body reads a parcel's text.
type body struct{ bytes.Reader }

// Close implements io.Closer.
func (*body) Close() error { return nil }

// Slots of the headers' values; slotType and slotAgent are the same for all POSTs.
const (
	slotType = iota
	slotAgent
	slotDeliveryID
	slotAttempt
	slotSHA1
	slotSHA256
	slotID
	slotTimestamp
	slotSignature
	slots // how many there are
)

func newParcel(agent string) *parcel {
	p := &parcel{header: make(http.Header, slots)}
	for i, name := range [...]string{
		"Content-Type", "User-Agent", headerDeliveryID, headerAttempt, headerSHA1, headerSHA256,
		webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature,
	} {
		p.header[name] = p.values[i : i+1 : i+1]
	}
	p.values[slotType], p.values[slotAgent] = "application/json", agent
	p.trace.GotConn = func(i httptrace.GotConnInfo) { p.reused, p.got = i.Reused, time.Now() }
	p.trace.GotFirstResponseByte = func() { p.first = time.Now() }
	return p
}

// maxKeptBody bounds the buffers that wait for another POST.
const maxKeptBody = 64 << 10

// reusable reports whether the parcel is worth keeping.
func (p *parcel) reusable() bool { return cap(p.text) <= maxKeptBody }

// begin makes the parcel ready for a POST that may take so long.
func (p *parcel) begin(within time.Duration) {
	p.reused, p.got, p.first = false, time.Time{}, time.Time{}
	if p.flight == nil {
		p.flight = newFlight(httptrace.WithClientTrace(context.Background(), &p.trace))
		p.request = nil
	}
	p.flight.begin(within)
}

// keep takes back what a batch was made of.
func (p *parcel) keep(b *batch) {
	clear(b.letters)
	clear(b.lanes)
	clear(p.verdicts)
	p.letters, p.lanes = b.letters[:0], b.lanes[:0]
}

// land ends the POST.
func (p *parcel) land() {
	if !p.flight.land() {
		p.flight = nil
	}
}

// firstByte is how long after a time the answer began; 0 when it did not.
func (p *parcel) firstByte(since time.Time) time.Duration { return elapsed(since, p.first) }

// connected is how long after a time there was a connection; 0 when there was
// none.
func (p *parcel) connected(since time.Time) time.Duration { return elapsed(since, p.got) }

func elapsed(since, until time.Time) time.Duration {
	if until.IsZero() {
		return 0
	}
	return max(until.Sub(since), 1)
}

// render writes a batch into its parcel: one entry per event, one object, one
// channel; and the headers. Both signatures are over the bytes that are sent: a
// third of the published clients know only one of the two.
func (b *batch) render() {
	p, head := b.parcel, b.letters[0]
	p.entries = p.entries[:0]
	for i, l := range b.letters {
		p.entries = append(p.entries, webhook.Entry{Asset: l.thread.Asset, Time: l.at, Element: l.element})
		if i > 0 {
			p.ids = append(p.ids, ',')
		} else {
			p.ids = p.ids[:0]
		}
		p.ids = appendDeliveryID(p.ids, l.partition, l.position)
	}
	p.text = webhook.AppendBody(p.text[:0], head.object, head.channel, b.app.EmptyMessaging, p.entries)
	clear(p.entries)
	b.attempt = head.attempts + 1
	id := string(p.ids)
	p.values[slotDeliveryID], p.values[slotID] = id, id
	p.values[slotAttempt] = strconv.Itoa(b.attempt)
	p.sign(&b.app)
}

// sign sets the platform's signatures, with the newest secret, and those of
// Standard Webhooks, with every valid one.
func (p *parcel) sign(app *App) {
	if p.signer == nil || p.secret != string(app.Secret) || p.previous != string(app.PreviousSecret) {
		p.secret, p.previous = string(app.Secret), string(app.PreviousSecret)
		p.signer, p.standard = webhook.NewSigner(app.Secret), webhook.NewStandardSigner(app.Secret, app.PreviousSecret)
	}
	if p.carries(headerSHA1, slotSHA1, !app.WithoutSHA1) {
		p.values[slotSHA1] = p.signer.Sign1(p.text)
	}
	if p.carries(headerSHA256, slotSHA256, !app.WithoutSHA256) {
		p.values[slotSHA256] = p.signer.Sign256(p.text)
	}
	now := time.Now().Unix()
	p.values[slotTimestamp] = strconv.FormatInt(now, 10)
	p.values[slotSignature] = p.standard.Sign(p.values[slotID], now, p.text)
}

// carries puts a header in or leaves it out: the parcel may have served the app
// before it changed.
func (p *parcel) carries(name string, slot int, wanted bool) bool {
	switch _, carried := p.header[name]; {
	case wanted && !carried:
		p.header[name] = p.values[slot : slot+1 : slot+1]
	case !wanted && carried:
		delete(p.header, name)
	}
	return wanted
}

// addressed is the parcel on its way to a callback.
func (p *parcel) addressed(callback string) (*http.Request, error) {
	if p.request == nil || p.target != callback {
		u, err := url.Parse(callback)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the address
		}
		p.target, p.request = callback, (&http.Request{
			Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: p.header,
		}).WithContext(p.flight)
	}
	p.reader.Reset(p.text)
	p.request.Body, p.request.ContentLength = &p.reader, int64(len(p.text))
	return p.request, nil
}
