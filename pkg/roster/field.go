package roster

import (
	"slices"
	"strings"
)

// fieldNames are the webhook fields of both objects. Source: protocol 4.
//
//nolint:gochecknoglobals // a constant table
var fieldNames = strings.Fields(`
messages message_echoes message_edits message_deliveries message_reads message_reactions messaging_postbacks
messaging_referrals messaging_optins messaging_optouts messaging_account_linking messaging_handovers messaging_feedback
messaging_game_plays messaging_policy_enforcement messaging_payments messaging_pre_checkouts messaging_checkout_updates
messaging_customer_information messaging_in_thread_lead_form_submit messaging_appointments messaging_direct_sends
messaging_fblogin_account_linking messaging_integrity message_context message_mention marketing_message_delivery_failed
messenger_template_status_update response_feedback send_cart standby inbox_labels feed calls
messaging_seen message_edit comments live_comments mentions story_insights`)

// KnownField reports whether a webhook field exists under this name or an alias
// of it: singular and plural are the same (protocol 12.17).
func KnownField(name string) bool {
	return slices.Contains(fieldNames, name) || slices.Contains(fieldNames, name+"s") ||
		slices.Contains(fieldNames, strings.TrimSuffix(name, "s"))
}
