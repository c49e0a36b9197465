package bus

import (
	"net/url"
	"strings"
)

// redactURLs returns a comma-separated list of URLs without user names and
// passwords.
func redactURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, raw := range urls {
		u, err := url.Parse(strings.TrimSpace(raw))
		if err != nil {
			urls[i] = "(unreadable URL)"
			continue
		}
		u.User = nil
		urls[i] = u.String()
	}
	return strings.Join(urls, ",")
}
