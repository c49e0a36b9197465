package main

import (
	"io"
	"net/http"
)

const defaultAdmin = "http://127.0.0.1:8081"

// cli is the command line.
type cli struct {
	Global

	Dev         devCommand         `cmd:"" help:"Start everything on this machine: Baton, a simulated platform and three demo apps."`
	Serve       serveCommand       `cmd:"" help:"Run Baton, or some of its roles, with a configuration."`
	Check       checkCommand       `cmd:"" help:"Check a configuration; all faults at once."`
	Apply       applyCommand       `cmd:"" help:"Put the apps and pages of a configuration into force."`
	Thread      threadCommands     `cmd:"" help:"Look at threads and move control."`
	Inbox       inboxCommands      `cmd:"" help:"Do what a human would do in the page's inbox."`
	App         appCommands        `cmd:"" help:"Look at apps and steer their deliveries."`
	Delivery    deliveryCommands   `cmd:"" help:"Look at deliveries; send again what was given up."`
	Doctor      doctorCommand      `cmd:"" help:"Look for what is missing, here and on the platform, and say the way out."`
	Token       tokenCommands      `cmd:"" help:"Give apps tokens and take them back."`
	Log         logCommands        `cmd:"" help:"Read and verify the log."`
	Replay      replayCommand      `cmd:"" help:"Fold the log from its beginning and compare with the running store."`
	Backup      backupCommand      `cmd:"" help:"Write everything that matters into a directory, while Baton runs or not."`
	Restore     restoreCommand     `cmd:"" help:"Make an empty installation what a backup was."`
	Sim         simCommands        `cmd:"" help:"Be the people on the simulated platform."`
	Conformance conformanceCommand `cmd:"" help:"Put a server through the conformance vectors over HTTP."`
	Demo        demoCommand        `cmd:"" help:"Play a conversation by itself, in a temporary directory."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// Global are the flags of every command.
type Global struct {
	Admin  string `help:"Admin listener of the server." default:"${admin}" env:"BATON_ADMIN" placeholder:"URL"`
	Token  string `help:"Admin token." env:"BATON_ADMIN_TOKEN" placeholder:"TOKEN"`
	Output string `short:"o" help:"Output: table or json." enum:"table,json" default:"table"`
	CA     string `name:"ca" help:"Trust this certificate authority for an https admin listener." env:"BATON_ADMIN_CA" placeholder:"FILE"`
	Cert   string `help:"Client certificate for the admin listener." env:"BATON_ADMIN_CERT" placeholder:"FILE"`
	Key    string `help:"Key of the client certificate." env:"BATON_ADMIN_KEY" placeholder:"FILE"`

	// http is how the server is reached.
	http *http.Client
}

// streams are where a command writes.
type streams struct {
	out, err io.Writer
}
