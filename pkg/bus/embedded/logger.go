package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger carries the server's lines to slog. Notices are debug lines: they are
// the server's, not the operator's.
type logger struct {
	log   *slog.Logger
	fatal chan string
}

// Noticef implements server.Logger.
func (l *logger) Noticef(format string, v ...any) { l.write(l.log.Debug, format, v) }

// Warnf implements server.Logger. Two warnings are about what this package
// does on purpose.
func (l *logger) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") || strings.HasPrefix(format, "Maximum payloads over") {
		l.Noticef(format, v...)
		return
	}
	l.write(l.log.Warn, format, v)
}

// Errorf implements server.Logger.
func (l *logger) Errorf(format string, v ...any) { l.write(l.log.Error, format, v) }

// Debugf implements server.Logger.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *logger) Tracef(string, ...any) {}

// Fatalf implements server.Logger. It does not end the process: the start
// returns the text as its error.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
	l.write(l.log.Error, format, v)
}

func (l *logger) write(to func(string, ...any), format string, v []any) {
	to("embedded nats", "text", fmt.Sprintf(format, v...))
}
