package main

import (
	"github.com/baton-router/baton/services/demoapps"
	"github.com/baton-router/baton/services/simulator"
)

func simRoster(dir string) (simulator.Roster, error) { return simulator.DevRoster(dir) }

func demoRoster(dir string) (demoapps.Roster, error) { return demoapps.DevRoster(dir) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
