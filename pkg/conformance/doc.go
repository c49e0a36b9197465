// Package conformance puts any server that speaks the Graph API of the handover
// protocol through the conformance table, over HTTP: it posts the platform's
// webhooks, signed, makes the apps' calls, and is the apps: real HTTP servers
// that check both signatures of what they receive. It knows nothing of how the
// server works.
//
// The rule of the package: what is expected stands in vectors, which are data;
// a step has passed when the answer, everything that every app has received, in
// its order, and the owner afterwards are as they say, and nothing else came.
//
// # Vectors
//
// A file of vectors (vectors/*.yaml, built in) is a YAML list. A vector is one
// row of the table, or a story, on one thread of its own:
//
//	# one of vectors/control.yaml
//	- row: "45"
//	  in: [h]
//	  says: The primary may take control at any time; the owner hears of it.
//	  source: protocol 6.12
//	  given:
//	    - own: B
//	  when:
//	    - {call: take, by: A, answer: success, heard: {B: take B>A}, owner: A, until: 24h}
//
// in are the modes in which it is run: h (handover with A as primary receiver),
// h0 (handover without), z (conversation routing without a default app), d
// (with A as default app). own says why the public documents cannot prove the
// row, if so. page is what the page needs beyond its mode; see Settings. given
// brings the thread into its state and is not compared. Apps are letters: A, B,
// C, T (may take, in mode d) and H (so may it; has the human-agent feature) are
// connected; page.apps connects D and V too; F is an app that the server does
// not know, N the server's own on the platform, X the page's inbox (XI
// Instagram's, XS the id of X that the documents misprint).
//
// # Steps
//
// A step is one of:
//
//	call       pass take request release extend pass_thread_metadata
//	           thread_owner secondary_receivers is_owner feature_status send
//	           user_menu page_menu get_started subscribe unsubscribe
//	           with by, to, metadata; params adds to the body or replaces it
//	event      message postback referral optin feedback echo reaction unreact
//	           edit unsend read delivery account_linking order
//	           response_feedback policy_enforcement other, the platform's
//	           pass_, take_ and request_thread_control, and again: the last
//	           event once more, byte for byte; at is its age, such as -2h
//	inbox      reply main done: what a human does, as the platform reports it
//	wait       moves the server's clock
//	own        an app, or X, has control: the way there is the mode's
//	button     an app sends a button with a payload
//	lead       another app becomes primary receiver or default app
//	platform   normal, silent (no echoes), refuses (sends)
//	race       calls at the same time; ends as one of its outcomes
//
// A send has text, tag, action, buttons, survey, or hand: "pass C", "pass" or
// "release", its thread_control. of: send makes an echo that of the last send.
//
// # What must come of it
//
// answer is success, sent, action (the answer of a sender action), result (of
// the menus), refused and the name of an error, owner with who is told (an app,
// hidden: somebody, none), receivers with apps, is_owner true or false, or
// status with the flag that is set.
//
// heard is what each app receives; rest is every connected app that is not
// named; who is neither receives nothing. A delivery is written
//
//	[standby|idle] it [bare]          the step's event; bare: no payload
//	[standby|idle] echo APP [METADATA] of the last send
//	[standby|idle] survey APP          the echo of APP's survey
//	pass FROM>TO [METADATA]            FROM idle: from nobody
//	take FROM>TO [METADATA]
//	request APP [METADATA]
//	metadata APP METADATA
//	roles APP=primary_receiver
//
// on messaging unless it says standby, or idle: the mode's channel of idle
// threads. Several stand in a list, in order. Elements are compared whole, but
// for times and, of a template, its content.
//
// owner is who has control afterwards, asked of the server by an app that may
// know; until is for how long from now on, to the second, or unchanged; pending
// are the apps that wait, compared where the server is a Baton.
//
// # How nothing else is proved
//
// Behind each step a delivery receipt is sent through the thread: it changes
// nothing, and every app hears it. Deliveries of a thread are in order, so what
// an app has not received before that receipt will not come. An app that does
// not hear all of a thread is looked at when the server is at rest, and so is
// every vector once more at its end. For servers that deliver in another order,
// Server.Settle is waited instead.
//
// All vectors share the server's clock, which only moves forward: it moves when
// every vector under way waits for it, to where the first one waits for. Ids of
// pages and persons are new in each run, so a server can be tested again.
package conformance
