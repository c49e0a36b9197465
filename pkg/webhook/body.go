package webhook

import "github.com/baton-router/baton/pkg/control"

// body reads what the rules need of an element's body.
func (r *elementReader) body(e *Event, body int, value []byte) {
	switch body {
	case bodyMessage:
		r.message(e, value)
	case bodyPostback:
		r.postback(e, value)
	case bodyReferral:
		r.referral(e, value)
	case bodyFeedback:
		e.Questions = questions(value)
	case bodyPass, bodyTake, bodyRequest:
		r.handover(e, value)
	}
}

func isEcho(message []byte) (echo bool) {
	for key, value := range members(message) {
		if is(key, "is_echo") {
			echo = isTrue(value)
		}
	}
	return echo
}

func (r *elementReader) message(e *Event, message []byte) {
	var mid, app, metadata, referral []byte
	var echo, deleted bool
	for key, value := range members(message) {
		switch string(plain(key)) {
		case "mid":
			mid = value
		case "app_id":
			app = value
		case "metadata":
			metadata = value
		case "referral":
			referral = value
		case "is_echo":
			echo = isTrue(value)
		case "is_deleted":
			deleted = isTrue(value)
		}
	}
	if deleted {
		e.Kind = control.KindUnsend
		return
	}
	e.Mid = text(mid)
	if echo {
		e.Kind = control.KindEcho
		e.EchoApp = r.number(app, ".message.app_id")
		e.Metadata = text(metadata)
		return
	}
	r.referral(e, referral)
}

func (r *elementReader) postback(e *Event, postback []byte) {
	var mid, payload, referral []byte
	for key, value := range members(postback) {
		switch string(plain(key)) {
		case "mid":
			mid = value
		case "payload":
			payload = value
		case "referral":
			referral = value
		}
	}
	e.Mid = text(mid)
	e.PayloadHash = control.PayloadHash(text(payload))
	r.referral(e, referral)
}

func (r *elementReader) referral(e *Event, referral []byte) {
	var ref, ad, source, app, window []byte
	for key, value := range members(referral) {
		switch string(plain(key)) {
		case "ref":
			ref = value
		case "ad_id":
			ad = value
		case "source":
			source = value
		case "receiving_app_id":
			app = value
		case "receiving_app_control_expiration":
			window = value
		}
	}
	e.Ref = text(ref)
	e.Ad = text(ad)
	if number, ok := digits(ad); ok && e.Ad == "" {
		e.Ad = string(number)
	}
	e.FromAd = text(source) == "ADS"
	e.ReceivingApp = r.app(app, ".referral.receiving_app_id")
	if e.HasWindow = !absent(window); e.HasWindow {
		e.ReceivingDays = days(window)
	}
}

func (r *elementReader) handover(e *Event, body []byte) {
	var previous, next, metadata []byte
	var name string
	for key, value := range members(body) {
		switch string(plain(key)) {
		case "previous_owner_app_id":
			previous = value
		case "new_owner_app_id", "requested_owner_app_id":
			next, name = value, text(key)
		case "metadata":
			metadata = value
		}
	}
	e.PreviousOwner = r.app(previous, ".previous_owner_app_id")
	e.NewOwner = r.app(next, "."+name)
	e.Metadata = text(metadata)
}
