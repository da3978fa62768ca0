package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
)

func doctorCommand() *cobra.Command {
	var f cli.Server
	var configPath string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong around an engine, and say what to change",
		Long: `Doctor holds a configuration and what it names against what an engine needs: folders, disk, secrets, limits of
the system, modules, the HTTP address, the NATS server with its permissions and streams, and the engine that runs, if one
does. It prints a line for each check: ok, warn or fail, with what it found; and below what is not ok, why that matters and
what to change. It changes nothing: what it tries at the NATS server is made so that nothing comes of it.
With --json it prints {"checks":[{"check","level","found","why","do"}…],"ok":N,"warn":N,"fail":N}.
It exits with 1 when a check fails; warnings are none.`,
		Example: "  engine doctor\n  engine doctor --config /etc/gnomon/config.toml\n  engine doctor --json | jq '.checks[] | select(.level != \"ok\")'",
		RunE: func(c *cobra.Command, _ []string) error {
			d := newDoctor(configPath)
			if cli.Given(c, "server") {
				cl, err := f.Client()
				if err != nil {
					return err
				}
				d.server = cl
			}
			d.examine(c.Context())
			return d.report(c.OutOrStdout(), asJSON)
		},
	}
	cli.ConfigFlag(c, &configPath)
	f.AddServer(c)
	c.Flags().Lookup("server").Usage = "URL of the engine; default: the one that runs on the configuration"
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// level says how a check ended.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // it works, and may not when it matters
	levelFail level = "fail" // it does not work, or will not
)

// finding is what a check found.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Found string `json:"found"`
	Why   string `json:"why,omitempty"` // it matters; empty when all is well
	Do    string `json:"do,omitempty"`  // what to change
}

// doctor examines the surroundings of an engine. Its functions are what it asks of the
// machine.
type doctor struct {
	path     string         // of the configuration
	config   *config.Config // nil when it cannot be read
	server   *client.Client // nil: the one that runs on the configuration
	findings []finding

	now       func() time.Time
	disk      func(dir string) (store.Disk, error)
	openFiles func() uint64 // that this process may have; 0: not known
	memory    func() uint64 // bytes that this process may have; 0: not known

	holder  store.Holder // of the data directory
	running bool         // an engine has it
}

func newDoctor(path string) *doctor {
	return &doctor{path: path, now: time.Now, disk: store.DiskOf, openFiles: openFilesLimit, memory: memoryLimit}
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Level: levelOK, Found: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check, found, why, do string) {
	d.findings = append(d.findings, finding{check, levelWarn, found, why, do})
}

func (d *doctor) fail(check, found, why, do string) {
	d.findings = append(d.findings, finding{check, levelFail, found, why, do})
}

// examine does all checks, in the order in which an engine comes to need what they are about.
func (d *doctor) examine(ctx context.Context) {
	began := d.now()
	if d.readConfig() {
		d.checkDataDir()
		d.checkSecrets()
		d.checkLimits()
		d.checkModules(ctx)
		d.checkHTTP()
		d.checkNATS(ctx)
	}
	if d.config != nil || d.server != nil { // otherwise it is not known where one would be
		d.checkEngine(ctx)
	}
	d.checkSteps(began)
}

// readConfig reads the configuration. There need be none for who asks about an engine
// elsewhere.
func (d *doctor) readConfig() bool {
	c, err := config.Load(d.path)
	if err != nil {
		if _, missing := os.Stat(d.path); missing != nil && d.server != nil {
			d.ok("configuration", "there is none here: only the engine is asked")
			return false
		}
		d.fail("configuration", err.Error(), "an engine does not start with it, and one that runs does not take it", "mend it: config.toml of the project is the manual, with every key")
		return false
	}
	d.config = c
	d.ok("configuration", "%s: %s, %s", d.path, cli.Numbered(len(c.Projections), "projection"), cli.Numbered(len(c.Streams), "stream"))
	for _, mistake := range c.Refused {
		d.fail("configuration", mistake.Error(), "the projection is left out", "deploy a file that is right, or remove it with: engine deploy --remove NAME")
	}
	return true
}

// brokerOf connects as the engine would, and does not go on for as long.
func (d *doctor) brokerOf(ctx context.Context) (*broker.Broker, error) {
	return openBroker(ctx, d.config, cli.QuietLog(io.Discard))
}

// checkSteps tells of a clock that was set while this went on.
func (d *doctor) checkSteps(began time.Time) {
	now := d.now()
	step := now.Round(0).Sub(began.Round(0)) - now.Sub(began) // of the wall clock, against the one that only goes forward
	if step.Abs() > 100*time.Millisecond {
		d.warn("clock", fmt.Sprintf("it was set by %v within the last seconds", step.Round(time.Millisecond)), "times of snapshots, backups and of what is kept for a time are off", "let NTP slew it, and look for two programs that both set it")
	}
}

// report prints what was found. It fails when a check did.
func (d *doctor) report(w io.Writer, asJSON bool) error {
	sum := map[level]int{}
	for _, f := range d.findings {
		sum[f.Level]++
	}
	if asJSON {
		err := cli.PrintJSON(w, struct {
			Checks []finding `json:"checks"`
			OK     int       `json:"ok"`
			Warn   int       `json:"warn"`
			Fail   int       `json:"fail"`
		}{d.findings, sum[levelOK], sum[levelWarn], sum[levelFail]})
		if err != nil {
			return err
		}
	} else {
		d.print(w)
	}
	if n := sum[levelFail]; n > 0 {
		return fmt.Errorf("%s failed", cli.Numbered(n, "check"))
	}
	return nil
}

func (d *doctor) print(w io.Writer) {
	width := 0
	for _, f := range d.findings {
		width = max(width, len(f.Check))
	}
	for _, f := range d.findings {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Level, width, f.Check, cli.Readable([]byte(f.Found))) // which may have the words of a guest
		for _, more := range [][2]string{{"why", f.Why}, {"do", f.Do}} {
			if more[1] != "" {
				fmt.Fprintf(w, "      %-*s    %s: %s\n", width, "", more[0], cli.Readable([]byte(more[1])))
			}
		}
	}
}
