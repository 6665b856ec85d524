package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"breakwater.dev/internal/processes"
)

// running are the control plane and the proxy.
type running []*processes.Process

// startAll starts the control plane, then Envoy, and returns when both are ready.
// With an error it also returns the processes that it has started, which the caller must stop.
func startAll(ctx context.Context, dir string, at addresses) (running, error) {
	var all running
	envoy, err := processes.FindEnvoy(".tools")
	if err != nil {
		return all, err
	}
	breakwater := filepath.Join("bin", "breakwater")
	policies, err := policiesFor(at.ip, dir)
	if err != nil {
		return all, err
	}
	fmt.Println("Starting the control plane:  breakwater serve --policy examples/quickstart/policies")
	p, err := processes.Launch(dir, processes.Command{Name: "control plane", Path: breakwater, Args: []string{"serve", "--policy", policies,
		"--xds-listen", at.xds, "--http-listen", at.http, "--state-dir", ""}})
	if err != nil {
		return all, err
	}
	all = append(all, p)
	if err := p.Answers(ctx, "http://"+at.http+"/health/ready"); err != nil {
		return all, err
	}
	bootstrap, err := exec.CommandContext(ctx, breakwater, "bootstrap", "--node-id", "quickstart-1", "--node-cluster", "quickstart",
		"--xds", at.xds, "--listen", at.egress, "--admin", at.admin).Output()
	if err != nil {
		return all, fmt.Errorf("printing the bootstrap: %w", err)
	}
	config := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(config, bootstrap, 0o600); err != nil {
		return all, err
	}
	fmt.Println("Starting Envoy:              envoy -c <what breakwater bootstrap prints>")
	p, err = processes.Launch(dir, processes.Command{Name: "envoy", Path: envoy,
		Args: []string{"-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"}})
	if err != nil {
		return all, err
	}
	all = append(all, p)
	return all, p.Answers(ctx, "http://"+at.admin+"/ready")
}

// policiesFor returns the directory with the policies, or dir with copies for another address.
func policiesFor(ip, dir string) (string, error) {
	const original = "examples/quickstart/policies"
	if ip == defaultIP {
		return original, nil
	}
	files, err := filepath.Glob(filepath.Join(original, "*.yaml"))
	if err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		text = bytes.ReplaceAll(text, []byte(defaultIP), []byte(ip))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// stop stops all processes, the proxy first, and waits until they have ended.
func (ps running) stop() error {
	var problems []error
	for i := len(ps) - 1; i >= 0; i-- {
		problems = append(problems, ps[i].Stop())
	}
	return errors.Join(problems...)
}
