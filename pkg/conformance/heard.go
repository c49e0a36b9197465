package conformance

import (
	"fmt"
	"strings"
)

// Heard is what an app receives, in order.
type Heard []Item

// Item is one delivery to an app; the package comment has its notation.
type Item struct {
	// Channel is messaging, standby, or idle: the channel of idle threads in
	// the mode.
	Channel string
	// What is it (the step's event), echo, survey, pass, take, request,
	// metadata or roles.
	What string
	// Bare is the event without the payload of its postback.
	Bare bool
	// From and To are the parties of a handover; App is the sender of an echo
	// or of metadata, or who requests.
	From, To, App string
	// Role is that of a roles event.
	Role string
	// Metadata is the handover's, or an echo's.
	Metadata string
}

// parseItem reads the notation of a delivery.
func parseItem(text string) (Item, error) {
	words := strings.Fields(text)
	item := Item{Channel: "messaging"}
	if len(words) > 0 && oneOf("messaging standby idle", words[0]) {
		item.Channel, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return item, fmt.Errorf("%q does not say what is heard", text)
	}
	item.What, words = words[0], words[1:]
	bad := fmt.Errorf("%q is no delivery: want [standby|idle] it [bare], echo APP [METADATA], survey APP, pass FROM>TO [METADATA], "+
		"take FROM>TO [METADATA], request APP [METADATA], metadata APP METADATA or roles APP=ROLE", text)
	switch item.What {
	case "it":
		item.Bare = len(words) == 1 && words[0] == "bare"
		if len(words) > 1 || len(words) == 1 && !item.Bare {
			return item, bad
		}
		return item, nil
	case "pass", "take":
		if len(words) == 0 {
			return item, bad
		}
		var ok bool
		if item.From, item.To, ok = strings.Cut(words[0], ">"); !ok || !oneOf(parties+" idle", item.From) || !oneOf(parties, item.To) {
			return item, bad
		}
	case "roles":
		if len(words) != 1 {
			return item, bad
		}
		var ok bool
		if item.App, item.Role, ok = strings.Cut(words[0], "="); !ok || !oneOf(appLetters, item.App) ||
			!oneOf("primary_receiver secondary_receiver", item.Role) {
			return item, bad
		}
		return item, nil
	case "echo", "survey", "request", "metadata":
		if len(words) == 0 || !oneOf(parties, words[0]) {
			return item, bad
		}
		item.App = words[0]
	default:
		return item, bad
	}
	item.Metadata = strings.Join(words[1:], " ")
	return item, nil
}

// String is the notation of the item.
func (i Item) String() string {
	words := []string{i.Channel, i.What}
	switch i.What {
	case "it":
		if i.Bare {
			words = append(words, "bare")
		}
	case "pass", "take":
		words = append(words, i.From+">"+i.To)
	case "roles":
		words = append(words, i.App+"="+i.Role)
	default:
		words = append(words, i.App)
	}
	if i.Metadata != "" {
		words = append(words, i.Metadata)
	}
	return strings.Join(words, " ")
}
