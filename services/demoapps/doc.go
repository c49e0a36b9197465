// Package demoapps are three small apps of a business, as its developers would
// write them against the platform: a bot that answers questions, an app for live
// agents, and a survey app. They know nothing of Baton: they receive webhooks,
// check their signature, and call the Graph API, with the standard library
// alone.
//
//   - faq-bot, the primary receiver, answers what it knows, and passes the
//     thread to live-agent when the person asks for an agent or it does not
//     understand twice.
//   - live-agent greets when it is given control, answers, and releases control
//     when the person says goodbye.
//   - survey listens on standby; when it hears live-agent say goodbye it sends a
//     survey, which waits until the thread is idle, and thanks for the answer.
package demoapps
