package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/fields"
	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// checkFlags are what a check is asked for.
type checkFlags struct {
	limitFlags
	events, query string
	settings, key string
	rules, json   bool
}

// limitFlags are the limits of a module.
type limitFlags struct {
	module, memory string // sizes
	fuel, table    uint64
}

func (f *limitFlags) add(c *cobra.Command) {
	limits := config.DefaultProjection().Limits
	flags := c.Flags()
	flags.StringVar(&f.module, "module", sizeText(limits.Module), "limit of the module's file")
	flags.StringVar(&f.memory, "memory", sizeText(limits.Memory), "limit of the module's memory")
	flags.Uint64Var(&f.table, "table", uint64(limits.Table), "limit of each of the module's tables, in entries")
	flags.Uint64Var(&f.fuel, "fuel", uint64(limits.Fuel), "limit of fuel for one event; 0: not metered")
}

func (f *limitFlags) limits(c *cobra.Command) (l host.Limits, err error) {
	l = host.Limits{Fuel: f.fuel, Table: f.table}
	size, err := parseSize(c, "module", f.module)
	if err != nil {
		return l, err
	}
	l.ModuleBytes = int64(size)
	if f.table == 0 {
		return l, cli.Usagef(c, "--table 0: use a number of entries from 1")
	}
	l.Memory, err = parseSize(c, "memory", f.memory)
	return l, err
}

// CheckCommand is engine check.
func CheckCommand() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check MODULE…",
		Short: "Hold modules against the contract, compile them and start them once",
		Long: `Check does with a module what run does before it uses one: it reads its structure,
holds imports and exports against the contract and lists all that is wrong, compiles it, makes an instance and
calls its init with settings. Then it applies a small event of its own making, with
the subject ` + madeUpSubject + ` and the data ` + madeUpData + `, and says how much fuel that took; a module may refuse it.
What is an upcaster rewrites the event instead.
With --events it applies those of a file instead, JSON Lines as engine import takes
them, or - for standard input: in order, to a state in memory that begins empty, as if
each had been stored at its time. It stops at the first that fails. What the module
warns of goes to standard error. With --query it then has a fresh instance answer a request
over the state that these events leave, and prints the answer below.
With --rules it is a hostile host instead: it applies the events of --events in batches of any
size, drops the instance between calls, makes events of every shape of them, and does all
else that docs/ABI.md allows, and says of each rule there that binds guests whether the
module keeps it: ok, failed, warning, or not exercised. When one is broken it exits with 3.
It changes nothing, and needs no server. Compiled modules are kept in the folder
GNOMON_CACHE, when that is set: it has to be private.`,
		Example: "  engine check build/plugins/count.wasm\n" +
			"  engine check build/plugins/sessions.wasm --events log.jsonl.gz --settings '{\"field\":\"resource\",\"gap\":\"30m\"}'\n" +
			"  engine check build/plugins/repo-files.wasm --events gitlog.jsonl.gz --query '{\"top\":3}'\n" +
			"  engine check build/plugins/process-map.wasm --rules --events log.jsonl.gz",
		Args: cli.AsUsage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := f.checker(c, args)
			if err != nil {
				return err
			}
			return k.modules(c.Context(), args)
		},
	}
	f.add(c)
	flags := c.Flags()
	flags.StringVar(&f.events, "events", "", "`FILE` of events to apply")
	flags.StringVar(&f.query, "query", "", "`REQUEST` to answer")
	flags.StringVar(&f.settings, "settings", "{}", "settings of the projection: a JSON `OBJECT`, or a file that has one")
	flags.StringVar(&f.key, "key", "", "key of each event: `KIND` subject:N, header:NAME or json:PATH")
	flags.BoolVar(&f.rules, "rules", false, "hold it against the rules for guests of docs/ABI.md")
	flags.BoolVar(&f.json, "json", false, "print a JSON object for each module, one a line")
	return c
}

// checker checks modules, one after the other.
type checker struct {
	limits   host.Limits
	settings []byte // JSON
	keyOf    func(abi.Record) []byte
	events   string // a file; empty: none
	query    []byte // a request; nil: none
	rule     bool   // whether it is held against rules
	json     bool   // the output is for tools
	printed  bool   // there was output for the module under way

	stdin          io.Reader
	stdout, stderr io.Writer
}

func (f *checkFlags) checker(c *cobra.Command, modules []string) (_ *checker, err error) {
	k := &checker{events: f.events, rule: f.rules, json: f.json, stdin: c.InOrStdin(), stdout: c.OutOrStdout(), stderr: c.ErrOrStderr()}
	if c.Flags().Changed("query") {
		k.query = []byte(f.query)
	}
	if k.limits, err = f.limits(c); err != nil {
		return nil, err
	}
	if f.events == "-" && len(modules) > 1 {
		return nil, cli.Usagef(c, "--events -: standard input can be read for one module only")
	}
	if k.settings, err = readSettings(c, f.settings); err != nil {
		return nil, err
	}
	if k.keyOf, err = fields.Key(f.key); err != nil {
		return nil, cli.Usagef(c, "--key: %w", err)
	}
	return k, nil
}

// sizeText writes a size as configurations do.
func sizeText(s config.Size) string { return strings.ReplaceAll(s.String(), " ", "") }

// parseSize reads the value of a flag, in bytes.
func parseSize(c *cobra.Command, flag, value string) (uint64, error) {
	n, err := humanize.ParseBytes(value)
	if err != nil || n == 0 || n > 4<<30 {
		return 0, cli.Usagef(c, "--%s %q: use a size such as 64MiB, at most 4GiB", flag, value)
	}
	return n, nil
}

// readSettings reads the value of --settings: an object, or a file that has one.
func readSettings(c *cobra.Command, value string) ([]byte, error) {
	if strings.HasPrefix(strings.TrimSpace(value), "{") || json.Valid([]byte(value)) {
		settings, err := parseSettings(value)
		if err != nil {
			return nil, cli.Usagef(c, "--settings: %w", err)
		}
		return settings, nil
	}
	text, err := os.ReadFile(value)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("--settings: %w", err), "give a JSON object such as '{\"top\":3}', or a file that has one")
	}
	settings, err := parseSettings(string(text))
	if err != nil {
		return nil, fmt.Errorf("--settings: %s: %w", value, err)
	}
	return settings, nil
}

// parseSettings makes of an object what a module is given: JSON with sorted keys.
func parseSettings(text string) ([]byte, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var settings map[string]any
	if err := d.Decode(&settings); err != nil || settings == nil {
		return nil, fmt.Errorf("%.80q is no JSON object", text)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%.80q is more than one JSON object", text)
	}
	return json.Marshal(settings)
}

func (k *checker) modules(ctx context.Context, paths []string) error {
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return err
	}
	defer done()
	check := k.module
	if k.rule {
		check = k.rules
	}
	var worst error // 1 is worse than 3
	for _, path := range paths {
		k.printed = false
		err := check(ctx, h, path)
		if err == nil {
			continue
		}
		if k.json && !k.printed {
			k.printJSON(checkJSON{Module: path, Problems: []problemJSON{{Text: err.Error()}}})
		}
		err = fmt.Errorf("%s: %w", path, err)
		switch {
		case worst == nil:
			worst = err
		case cli.ExitCode(worst) == cli.ExitDiffers:
			cli.PrintError(k.stderr, worst)
			worst = err
		default:
			cli.PrintError(k.stderr, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return worst
}

// load reads, checks and compiles a module.
func (k *checker) load(ctx context.Context, h *host.Host, path string) (*host.Module, *description, error) {
	code, err := readModule(path)
	if err != nil {
		return nil, nil, err
	}
	s := &static{path: path, size: len(code), Static: host.ReadStatic(code), limits: k.limits}
	if s.binary, err = h.Check(code, k.limits); err != nil {
		return nil, nil, k.refused(s, err)
	}
	began := time.Now()
	m, err := h.Load(ctx, code, k.limits)
	if err != nil {
		return nil, nil, k.refused(s, err)
	}
	s.took = time.Since(began)
	return m, &description{path: path, module: m, code: code, compiler: h.Compiler(), static: s}, nil
}

func (k *checker) module(ctx context.Context, h *host.Host, path string) error {
	m, d, err := k.load(ctx, h, path)
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	s, err := testdriver.NewSession(ctx, testdriver.Subject{Module: m, Settings: k.settings, Memory: k.limits.Memory, Log: k.log()}, guest.Surroundings{})
	if err != nil {
		return k.settingsHint(err)
	}
	defer s.Close(ctx)
	d.memory = s.Instance().MemoryBytes()
	a := &applier{Session: s, upcasts: m.Traits().Upcasts, keyOf: k.keyOf}
	if d.use, err = k.use(ctx, a); err != nil {
		return err
	}
	if k.query != nil {
		if err := k.ask(ctx, a, d); err != nil {
			return err
		}
	}
	if k.json {
		k.printJSON(d.json())
		return nil
	}
	d.print(k.stdout)
	return nil
}

// log is where the module's lines go: to a person who has it work on events, from
// warnings on.
func (k *checker) log() guest.Log {
	if k.events == "" {
		return nil
	}
	return guest.LimitLog(cli.GuestLog{Log: slog.New(slog.NewTextHandler(k.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}, 100)
}

// settingsHint is for a module whose init does not succeed without settings.
func (k *checker) settingsHint(err error) error {
	var g *guest.Error
	if string(k.settings) != "{}" || !errors.As(err, &g) || g.Call != abi.ExportInit || g.Kind == guest.OutOfFuel {
		return err
	}
	return cli.WithHint(err, "init was called with empty settings; for a module that needs some give them with --settings")
}

// description is what is known of a module that passed.
type description struct {
	path     string
	module   *host.Module
	code     []byte
	memory   uint64 // bytes, when started
	use      []checkRow
	answer   []byte // to a query; nil: there was none
	compiler bool
	static   *static
}

// checkRow is a line below a module's name.
type checkRow struct{ name, text string }

// kind is what a module is for.
func (d *description) kind() string {
	switch has := d.module.Traits(); {
	case !has.Upcasts:
		return "a projection"
	case has.Applies: // as any that is built with the Go SDK
		return "an upcaster (it exports apply, too: it can be named as a projection)"
	}
	return "an upcaster"
}

func (d *description) print(w io.Writer) {
	fmt.Fprintf(w, "%s: ok\n", d.path)
	row := func(name, text string) { fmt.Fprintf(w, "  %-9s %s\n", name, text) }
	row("sha256", d.module.Digest())
	row("size", fmt.Sprintf("%s, memory %s when started", humanize.IBytes(uint64(len(d.code))), humanize.IBytes(d.memory)))
	row("contract", abi.Module+", "+d.kind())
	switch has := d.module.Traits(); {
	case has.Upcasts:
		row("state", "none")
	case has.Memory:
		row("state", "in keys, and in its own memory (snapshot, restore)")
	default:
		row("state", "in keys")
	}
	if d.module.Traits().Queries && d.answer == nil {
		row("query", "answers requests; try one with --query")
	}
	for _, r := range d.use {
		row(r.name, r.text)
	}
	if d.module.Traits().Emits {
		row("emits", "to the subjects of projection.emit, which must list some")
	}
	if !d.compiler {
		row("warning", "was interpreted, some 70 times slower: the system refuses executable memory")
	}
	for _, n := range d.notes() {
		row("note", n)
	}
	d.static.print(w)
	if d.answer != nil {
		fmt.Fprintln(w, cli.ReadableText(d.answer))
	}
}
