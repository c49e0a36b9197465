package delivery

import (
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// Field is a webhook field that an app subscribes to. Page and Instagram names
// of the same field, and singular and plural, are one (protocol 12.17).
type Field uint8

// The fields, by their names on the Page object.
const (
	FieldMessages Field = iota
	FieldMessageEchoes
	FieldMessageEdits
	FieldMessageDeliveries
	FieldMessageReads
	FieldMessageReactions
	FieldPostbacks
	FieldReferrals
	FieldOptins
	FieldOptouts
	FieldAccountLinking
	FieldHandovers
	FieldFeedback
	FieldGamePlays
	FieldPolicyEnforcement
	FieldPayments
	FieldPreCheckouts
	FieldCheckoutUpdates
	FieldCustomerInformation
	FieldLeadFormSubmit
	FieldAppointments
	FieldDirectSends
	FieldLoginAccountLinking
	FieldIntegrity
	FieldMessageContext
	FieldMessageMention
	FieldMarketingDeliveryFailed
	FieldTemplateStatusUpdate
	FieldResponseFeedback
	FieldSendCart
	FieldStandby
	FieldInboxLabels
	FieldFeed
	FieldCalls
	FieldComments
	FieldLiveComments
	FieldMentions
	FieldStoryInsights
	fieldEnd
)

//nolint:gochecknoglobals // a constant table
var fieldNames = [fieldEnd]string{
	"messages", "message_echoes", "message_edits", "message_deliveries", "message_reads", "message_reactions",
	"messaging_postbacks", "messaging_referrals", "messaging_optins", "messaging_optouts", "messaging_account_linking",
	"messaging_handovers", "messaging_feedback", "messaging_game_plays", "messaging_policy_enforcement",
	"messaging_payments", "messaging_pre_checkouts", "messaging_checkout_updates", "messaging_customer_information",
	"messaging_in_thread_lead_form_submit", "messaging_appointments", "messaging_direct_sends",
	"messaging_fblogin_account_linking", "messaging_integrity", "message_context", "message_mention",
	"marketing_message_delivery_failed", "messenger_template_status_update", "response_feedback", "send_cart", "standby",
	"inbox_labels", "feed", "calls", "comments", "live_comments", "mentions", "story_insights",
}

// String is the field's name on the Page object.
func (f Field) String() string {
	if f < fieldEnd {
		return fieldNames[f]
	}
	return ""
}

// ParseField reads a field by any of its names.
func ParseField(name string) (Field, bool) {
	if name == "messaging_seen" {
		return FieldMessageReads, true
	}
	singular := strings.TrimSuffix(name, "s")
	for i, known := range fieldNames {
		if known == name || strings.TrimSuffix(known, "s") == singular {
			return Field(i), true
		}
	}
	return 0, false
}

// FieldSet is a set of fields.
type FieldSet uint64

// Fields is the set of the given fields.
func Fields(fields ...Field) FieldSet {
	var s FieldSet
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

// Has reports whether f is in s.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// KindField is the field that gates events of the kind on the object. On
// Instagram echoes come under messages (12.17); kinds unknown to Baton are gated
// by messages too (12.12).
func KindField(kind control.Kind, object control.Object) Field {
	switch kind {
	case control.KindEcho:
		if object == control.ObjectInstagram {
			return FieldMessages
		}
		return FieldMessageEchoes
	case control.KindPostback:
		return FieldPostbacks
	case control.KindReferral:
		return FieldReferrals
	case control.KindOptin:
		return FieldOptins
	case control.KindDelivery:
		return FieldMessageDeliveries
	case control.KindRead:
		return FieldMessageReads
	case control.KindReaction:
		return FieldMessageReactions
	case control.KindEdit:
		return FieldMessageEdits
	case control.KindFeedback:
		return FieldFeedback
	case control.KindResponseFeedback:
		return FieldResponseFeedback
	case control.KindAccountLinking:
		return FieldAccountLinking
	case control.KindOrder:
		return FieldSendCart
	case control.KindPolicy:
		return FieldPolicyEnforcement
	case control.KindPlatformPass, control.KindPlatformTake, control.KindPlatformRequest, control.KindPlatformRoles:
		return FieldHandovers
	case control.KindOther, control.KindMessage, control.KindUnsend:
	}
	return FieldMessages
}

// onStandby reports whether bystanders hear of the kind on standby. Source:
// protocol 5, Standby; C6.
func onStandby(kind control.Kind, extended bool) bool {
	switch kind {
	case control.KindMessage, control.KindEcho, control.KindRead, control.KindDelivery, control.KindPostback:
		return true
	case control.KindReaction, control.KindEdit, control.KindUnsend, control.KindResponseFeedback, control.KindOrder,
		control.KindReferral, control.KindOptin:
		return extended
	case control.KindOther, control.KindFeedback, control.KindAccountLinking, control.KindPolicy,
		control.KindPlatformPass, control.KindPlatformTake, control.KindPlatformRequest, control.KindPlatformRoles:
	}
	return false
}
