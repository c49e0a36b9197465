package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/baton-router/baton/pkg/control"
)

// element is one event of a webhook, as the platform writes it. Source:
// protocol 5.
type element struct {
	Sender    *party         `json:"sender,omitempty"`
	Recipient party          `json:"recipient"`
	Timestamp control.Millis `json:"timestamp"`
	Message   *message       `json:"message,omitempty"`
	Postback  *postback      `json:"postback,omitempty"`
	Referral  *referral      `json:"referral,omitempty"`
	Optin     *optin         `json:"optin,omitempty"`
	Delivery  *delivery      `json:"delivery,omitempty"`
	Read      *read          `json:"read,omitempty"`
	Reaction  *reaction      `json:"reaction,omitempty"`
	Edit      *edit          `json:"message_edit,omitempty"`
	Feedback  *feedback      `json:"messaging_feedback,omitempty"`
	Pass      *handover      `json:"pass_thread_control,omitempty"`
	Take      *handover      `json:"take_thread_control,omitempty"`
}

type party struct {
	ID string `json:"id"`
}

type message struct {
	Mid         string          `json:"mid"`
	IsEcho      bool            `json:"is_echo,omitempty"`
	IsDeleted   bool            `json:"is_deleted,omitempty"`
	AppID       control.AppID   `json:"app_id,omitempty"`
	Metadata    string          `json:"metadata,omitempty"`
	Text        string          `json:"text,omitempty"`
	QuickReply  *payload        `json:"quick_reply,omitempty"`
	ReplyTo     *mid            `json:"reply_to,omitempty"`
	Attachments json.RawMessage `json:"attachments,omitempty"`
	Referral    *referral       `json:"referral,omitempty"`
}

type payload struct {
	Payload string `json:"payload"`
}

type mid struct {
	Mid string `json:"mid"`
}

type postback struct {
	Mid     string `json:"mid"`
	Title   string `json:"title,omitempty"`
	Payload string `json:"payload,omitempty"`
}

type referral struct {
	Ref           string        `json:"ref,omitempty"`
	AdID          string        `json:"ad_id,omitempty"`
	Source        string        `json:"source"`
	Type          string        `json:"type"`
	Context       *adContext    `json:"ads_context_data,omitempty"`
	ReceivingApp  control.AppID `json:"receiving_app_id,omitempty"`
	ReceivingDays int           `json:"receiving_app_control_expiration,omitempty"`
}

type adContext struct {
	AdTitle string `json:"ad_title"`
}

type optin struct {
	Type    string `json:"type"`
	Payload string `json:"payload,omitempty"`
	Token   string `json:"notification_messages_token"`
	Status  string `json:"user_token_status"`
}

type delivery struct {
	Mids      []string       `json:"mids,omitempty"`
	Watermark control.Millis `json:"watermark"`
}

type read struct {
	Watermark control.Millis `json:"watermark,omitempty"`
	Mid       string         `json:"mid,omitempty"` // Instagram
}

type reaction struct {
	Reaction string `json:"reaction,omitempty"`
	Emoji    string `json:"emoji,omitempty"`
	Action   string `json:"action"`
	Mid      string `json:"mid"`
}

type edit struct {
	Mid   string `json:"mid"`
	Text  string `json:"text"`
	Count int    `json:"num_edit"`
}

type feedback struct {
	Screens []feedbackScreen `json:"feedback_screens"`
}

type feedbackScreen struct {
	ID        int               `json:"screen_id"`
	Questions map[string]answer `json:"questions"`
}

type answer struct {
	Type     string  `json:"type"`
	Payload  string  `json:"payload"`
	FollowUp *answer `json:"follow_up,omitempty"`
}

type handover struct {
	Previous string `json:"previous_owner_app_id"`
	New      string `json:"new_owner_app_id"`
	Metadata string `json:"metadata,omitempty"`
}

// encode renders v without escaping HTML. Values are built from Go types only,
// so an error is a broken invariant.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulator: encoding %T: %v", v, err)) //nolint:forbidigo // a broken invariant
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

func decimal(id uint64) string { return strconv.FormatUint(id, 10) }
