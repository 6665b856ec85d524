package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"breakwater.dev/internal/processes"
)

// The paths of programs, as seen from the root of the repository.
const (
	Breakwater = "bin/breakwater" // the control plane
	Tools      = ".tools"         // the directory with the programs of others
)

// Proxy is an Envoy of the demonstration.
type Proxy struct {
	ID, Workload string
	// ControlPlane has the addresses of all control planes, with commas between them.
	ControlPlane string
	// Listen is the address for applications, Admin the one of Envoy's own page.
	Listen, Admin string

	process *processes.Process
}

// LaunchProxy starts a proxy with what `breakwater bootstrap` prints. It does not wait until the proxy is ready.
func (s *Stage) LaunchProxy(ctx context.Context, p *Proxy) error {
	envoy, err := processes.FindEnvoy(Tools)
	if err != nil {
		return err
	}
	bootstrap, err := exec.CommandContext(ctx, Breakwater, "bootstrap", "--node-id", p.ID, "--node-cluster", p.Workload,
		"--xds", p.ControlPlane, "--listen", p.Listen, "--admin", p.Admin).Output()
	if err != nil {
		return fmt.Errorf("printing the bootstrap of %s: %w", p.ID, err)
	}
	config := filepath.Join(s.Dir, p.ID+".bootstrap.yaml")
	if err := os.WriteFile(config, bootstrap, 0o600); err != nil {
		return err
	}
	p.process, err = s.Launch(processes.Command{Name: "envoy " + p.ID, Path: envoy,
		Args: []string{"-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"}})
	return err
}

// Ready waits until a proxy takes requests.
func (p *Proxy) Ready(ctx context.Context) error {
	return p.process.Answers(ctx, "http://"+p.Admin+"/ready")
}
