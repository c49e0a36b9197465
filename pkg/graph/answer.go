package graph

import "encoding/json"

// Success is the answer of a control edge: {"success":true}.
func Success() []byte { return []byte(`{"success":true}`) }

// ResultSuccess is the answer of the profile edges.
func ResultSuccess() []byte { return []byte(`{"result":"success"}`) }

// Sent is the answer of a send. Empty fields are left out: a sender action has
// only the recipient, a send to a user_ref has none.
type Sent struct {
	RecipientID  string `json:"recipient_id,omitempty"`
	MessageID    string `json:"message_id,omitempty"`
	AttachmentID string `json:"attachment_id,omitempty"`
}

// Body is the answer as JSON.
func (s Sent) Body() []byte { return marshal(s) }

// ThreadOwner is the answer of thread_owner. The zero value is an idle thread:
// the list is never empty, because clients read its first element unasked.
type ThreadOwner struct {
	// Owned says that an app or an inbox has control.
	Owned bool
	// AppID is who, when the caller may know; "" otherwise.
	AppID string
	// Expiration is in seconds since the Unix epoch; zero is left out.
	Expiration int64
	// Pending are the apps that wait, for callers who may know.
	Pending []PendingRequest
}

// PendingRequest is an app that waits for control. Since is in seconds since
// the Unix epoch.
type PendingRequest struct {
	AppID    string `json:"app_id"`
	Since    int64  `json:"since"`
	Metadata string `json:"metadata,omitempty"`
}

type ownerBody struct {
	AppID      string           `json:"app_id,omitempty"`
	Expiration int64            `json:"expiration,omitempty"`
	Pending    []PendingRequest `json:"pending_requests,omitempty"`
}

type ownerItem struct {
	Owner *ownerBody `json:"thread_owner"`
}

// Body is the answer as JSON.
func (o ThreadOwner) Body() []byte {
	var item ownerItem
	if o.Owned {
		item.Owner = &ownerBody{o.AppID, o.Expiration, o.Pending}
	}
	return marshal(struct {
		Data []ownerItem `json:"data"`
	}{[]ownerItem{item}})
}

// Receiver is an app in a list of secondary_receivers.
type Receiver struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Cursors are the ends of a page of a list. Both empty: a list without paging.
type Cursors struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// List is a list that is complete: paging has cursors but never a next, which
// clients would follow for ever. items is a slice of anything that encodes as
// JSON; nil is an empty list. The error is encoding/json's.
func List[T any](items []T, cursors Cursors) ([]byte, error) {
	if items == nil {
		items = []T{}
	}
	body := struct {
		Data   []T             `json:"data"`
		Paging json.RawMessage `json:"paging,omitempty"`
	}{Data: items}
	if cursors != (Cursors{}) {
		body.Paging = append(append([]byte(`{"cursors":`), marshal(cursors)...), '}')
	}
	return json.Marshal(body)
}
