package delivery

import "testing"

func TestFieldsHaveOneNameOnBothObjects(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Field{
		"messages": FieldMessages, "message_reads": FieldMessageReads, "messaging_seen": FieldMessageReads,
		"message_edit": FieldMessageEdits, "message_edits": FieldMessageEdits, "messaging_handover": FieldHandovers,
		"messaging_handovers": FieldHandovers, "messaging_referral": FieldReferrals, "messaging_postback": FieldPostbacks,
		"message_reaction": FieldMessageReactions, "mentions": FieldMentions, "message_mention": FieldMessageMention,
		"standby": FieldStandby, "story_insights": FieldStoryInsights,
	} {
		if got, ok := ParseField(name); !ok || got != want {
			t.Errorf("%s is %s, %t", name, got, ok)
		}
	}
	for _, name := range []string{"", "s", "unknown"} {
		if got, ok := ParseField(name); ok {
			t.Errorf("%q is %s", name, got)
		}
	}
}

func TestEveryFieldReadsBack(t *testing.T) {
	t.Parallel()
	for f := range fieldEnd {
		if got, ok := ParseField(f.String()); !ok || got != f {
			t.Errorf("%s reads as %s, %t", f, got, ok)
		}
		if set := Fields(f); !set.Has(f) || set.Has((f+1)%fieldEnd) {
			t.Errorf("the set of %s is %b", f, set)
		}
	}
	if fieldEnd > 64 {
		t.Error("a FieldSet holds 64 fields")
	}
	if fieldEnd.String() != "" {
		t.Error("an unknown field has a name")
	}
}
