package controltest

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/baton-router/baton/pkg/control"
)

// event writes e as its name and its fields that are set, in their order. What
// every event has or what follows from the script is left out.
func (w *World) event(e control.Event) string {
	v := reflect.ValueOf(e)
	out := []string{snake(v.Type().Name())}
	out = w.fields(out, v)
	return strings.Join(out, " ")
}

func (w *World) fields(out []string, v reflect.Value) []string {
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		if name == "Change" {
			out = w.fields(out, field)
			continue
		}
		if field.IsZero() || w.implied(name, field) {
			continue
		}
		out = append(out, attribute(name, field.Interface()))
	}
	return out
}

func (w *World) implied(name string, field reflect.Value) bool {
	switch name {
	case "At":
		return field.Interface() == w.Now
	case "Print", "Revision", "Call", "Dedupe", "Input", "Key", "KeyUntil", "Digest", "Message":
		return true
	}
	return false
}

func attribute(name string, value any) string {
	name = strings.TrimSuffix(snake(name), "_at")
	switch value := value.(type) {
	case bool:
		return name
	case control.AppID:
		return name + "=" + AppName(value)
	case control.Millis:
		if name == "" {
			name = "at"
		}
		return name + "=" + when(value)
	case control.Actor:
		return name + "=" + actor(value)
	case control.Audience:
		return [...]string{"", "to_owner", "to_idle", "to_creator", "to_nobody"}[value]
	case control.OutcomeKind:
		return [...]string{"", "confirmed", "refused", "unknown", "abandoned"}[value]
	case control.SendControl:
		return "control=" + [...]string{"", "pass:", "release:"}[value.Type] + AppName(value.Target)
	case []uint64:
		return fmt.Sprintf("%s=%d", name, len(value))
	case []byte:
		return name + "=" + string(value)
	case *control.Answerable:
		return fmt.Sprintf("%s=%s/%d", name, AppName(value.App), len(value.Questions))
	}
	return fmt.Sprintf("%s=%v", name, value)
}

func actor(a control.Actor) string {
	kind := [...]string{"", "app", "inbox", "person", "platform", "operator", "timer"}[a.Kind]
	switch {
	case a.Kind == control.ActorApp:
		return AppName(a.App)
	case a.Name != "":
		return kind + ":" + a.Name
	}
	return kind
}

func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 && !strings.HasSuffix(name[:i+1], "ID") {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (w *World) refusal(r control.Refusal) string {
	if !r.Refused() {
		return "allowed"
	}
	out := "refused " + r.Verb.String() + " " + r.Reason.String()
	if r.Owner != 0 {
		out += " owner=" + AppName(r.Owner)
	}
	if r.Until != 0 {
		out += " until=" + when(r.Until)
	}
	if r.Next != control.NextNothing {
		out += " next=" + r.Next.String()
	}
	return out
}

// view is what thread_owner shows.
func (w *World) view(v control.View) string {
	out := "thread_owner"
	if v.Owner == 0 && v.Until == 0 {
		return out + " null"
	}
	if v.Owner != 0 {
		out += " app_id=" + AppName(v.Owner)
	}
	out += " expiration=" + when(v.Until)
	for _, q := range v.Requests {
		out += " pending=" + AppName(q.App)
	}
	return out
}

// thread is the thread in one line: what the rules look at.
func (w *World) thread() string {
	s := w.State
	out := []string{"idle"}
	if s.Owner != 0 {
		out[0] = "own(" + AppName(s.Owner) + ") until=" + when(s.ExpiresAt)
	}
	if s.WindowDays != 0 {
		out = append(out, fmt.Sprintf("window=%dd", s.WindowDays))
	}
	if s.LastUserAt != 0 {
		out = append(out, "user="+when(s.LastUserAt))
	}
	if s.Done {
		out = append(out, "done")
	}
	if s.PlatformInbox {
		out = append(out, "platform=inbox")
	}
	if s.Rare != nil {
		out = rare(out, s.Rare)
	}
	return "= " + strings.Join(out, " ")
}

func rare(out []string, r *control.Rare) []string {
	for _, q := range r.Requests {
		word := "pending=" + AppName(q.App)
		if q.Metadata != "" {
			word += ":" + q.Metadata
		}
		out = append(out, word)
	}
	for _, h := range r.Held {
		out = append(out, fmt.Sprintf("held=%s@%d", AppName(h.App), h.ID))
	}
	for _, a := range r.Answerable {
		out = append(out, "answerable="+AppName(a.App))
	}
	for _, e := range r.Effects {
		out = append(out, effect(&e))
	}
	if r.UserMenu != 0 {
		out = append(out, "user_menu="+AppName(r.UserMenu))
	}
	for _, h := range r.HeldEcho {
		out = append(out, "echo_waits="+h.Mid)
	}
	return out
}

func effect(e *control.Effect) string {
	switch e.Kind {
	case control.EffectSend:
		return fmt.Sprintf("sending=%s@%d", AppName(e.App), e.ID)
	case control.EffectSurvey:
		return fmt.Sprintf("surveying=%s@%d", AppName(e.App), e.ID)
	case control.EffectSide:
	}
	side := "baton"
	if e.WantInbox {
		side = "inbox"
	}
	return fmt.Sprintf("mirroring=%s@%d", side, e.ID)
}
