package main

import (
	"context"
	"fmt"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// Severities of findings.
const (
	problem = "problem" // something does not work, or soon will not
	note    = "note"    // it cannot be proven here, or concerns nobody yet
)

// examination gathers what doctor finds.
type examination struct {
	findings []*adminv1.Finding
	healthy  []string
	repairs  []*adminv1.RepairNote
}

// advice is what a finding says: what is wrong, why it matters, the way out.
type advice struct{ what, why, wayOut string }

func (e *examination) find(severity, subject string, a advice) {
	e.findings = append(e.findings, &adminv1.Finding{Severity: severity, Subject: subject, What: a.what, Why: a.why, WayOut: a.wayOut})
}

func (e *examination) well(format string, args ...any) {
	e.healthy = append(e.healthy, fmt.Sprintf(format, args...))
}

func (e *examination) response() *adminv1.DoctorResponse {
	return &adminv1.DoctorResponse{Findings: e.findings, Healthy: e.healthy, Repairs: e.repairs}
}

// examine is doctor on a running node: what is here, and what the platform has.
func (n *node) examine(ctx context.Context) *adminv1.DoctorResponse {
	e := &examination{}
	n.examineHere(ctx, e)
	_ = newPlatformDoctor(n.platform, n.rosters.Current(), n.clock.Now).examine(ctx, e) // the finding says it too
	return e.response()
}
