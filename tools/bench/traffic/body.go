package traffic

import (
	"bytes"
	"strconv"
	"time"
)

// FirstPerson is the platform's id of the person of thread 0; the others
// follow.
const FirstPerson = 4_000_000_000_000_000

// A message id is the mark, three decimal numbers of fixed width, each with a
// point behind it, and a tail that makes it as long as the platform's.
const (
	mark      = "m_bench."
	tail      = "AbCdEfGhIjKlMnOpQrSt"
	widthID   = 10
	widthTime = 19
	markSize  = len(mark) + 2*(widthID+1) + widthTime
)

// stamp is what a message id says.
type stamp struct {
	thread, number uint32
	sent           int64 // ns since 1970
}

// nextStamp finds the first message id in b and returns what follows it.
func nextStamp(b []byte) (s stamp, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(mark))
	if i < 0 || len(b) < i+markSize {
		return stamp{}, nil, false
	}
	b = b[i+len(mark):]
	thread, okThread := decimal(b[:widthID])
	number, okNumber := decimal(b[widthID+1 : 2*widthID+1])
	sent, okSent := decimal(b[2*widthID+2 : 2*widthID+2+widthTime])
	return stamp{uint32(thread), uint32(number), sent}, b[markSize-len(mark):], okThread && okNumber && okSent
}

func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func appendPadded(b []byte, n int64, width int) []byte {
	for place := width - len(strconv.FormatInt(n, 10)); place > 0; place-- {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, n, 10)
}

// AppendWebhook appends the webhook of connection c's events from k on, count
// of them, each an entry of its own, as the platform batches them.
func AppendWebhook(b []byte, s *LoadSpec, c, k, count int, now time.Time) []byte {
	b = append(b, `{"object":"page","entry":[`...)
	for i := range count {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":"`...)
		b = strconv.AppendUint(b, s.Page, 10)
		b = append(b, `","time":`...)
		b = strconv.AppendInt(b, now.UnixMilli(), 10)
		b = append(b, `,"messaging":[`...)
		thread, number := s.place(c, k+i)
		b = appendElement(b, s, thread, number, now)
		b = append(b, `]}`...)
	}
	return append(b, `]}`...)
}

// appendElement appends one event of a thread: about 420 bytes, as a person's
// message is.
func appendElement(b []byte, s *LoadSpec, thread, number int, now time.Time) []byte {
	b = append(b, `{"sender":{"id":"`...)
	b = strconv.AppendInt(b, FirstPerson+int64(thread), 10)
	b = append(b, `"},"recipient":{"id":"`...)
	b = strconv.AppendUint(b, s.Page, 10)
	b = append(b, `"},"timestamp":`...)
	b = strconv.AppendInt(b, now.UnixMilli(), 10)
	b = append(b, `,"message":{"mid":"`+mark...)
	b = append(appendPadded(b, int64(thread), widthID), '.')
	b = append(appendPadded(b, int64(number), widthID), '.')
	b = appendPadded(b, now.UnixNano(), widthTime)
	return append(b, `.`+tail+`","text":"Hello, I would like to know where my order is, it should have arrived on Tuesday `+
		`and nobody has called me back yet.","nlp":{"intents":[],"entities":{},"traits":{}}}}`...)
}
