package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/fields"
	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/store"
	"gnomon/engine/streams"
	"gnomon/host"
	"gnomon/plugins"
)

// declarations makes the projections of a configuration those of the engine: at the start,
// and whenever configuration or modules have changed.
type declarations struct {
	host *host.Host
	kept keptModules
	log  *slog.Logger
	logs guest.Logs // what guests logged last

	mu      sync.Mutex
	known   map[string]knownDeclaration // by projection: what was declared last, or refused
	signers map[string]string           // of modules, by digest
}

// knownDeclaration is one that need not be looked at again until it changes.
type knownDeclaration struct {
	fingerprint string // empty: it could not be read
	refused     string // why it was; empty: it was taken
	runs        bool   // it, or one before it, was taken
}

// declared is a projection with the module that its file holds now.
type declared struct {
	config    config.Projection
	module    plugins.Module
	upcasters []plugins.Module // of config.Upcasters
	text      []byte           // the declaration, as the catalog keeps it
}

// fingerprint changes with everything that the projection is made of.
func (d *declared) fingerprint() string { return d.module.SHA256 + string(d.text) }

// reading is what was found of the declaration of a projection.
type reading struct {
	name string
	*declared
	err error // why it cannot be read
}

// readAll reads what the projections of a configuration are declared as. It fails only
// with plugins.ErrChanging, when a module is being written.
func (ds *declarations) readAll(c *config.Config) (all []reading, err error) {
	for _, p := range c.Projections {
		d, err := ds.read(c, p)
		if errors.Is(err, plugins.ErrChanging) {
			return nil, err
		}
		all = append(all, reading{p.Name, d, err})
	}
	return all, nil
}

// read reads what a projection is declared as.
func (ds *declarations) read(c *config.Config, p config.Projection) (*declared, error) {
	module, err := plugins.Load(p.ModuleDirs, p.Module, int64(p.Limits.Module))
	if err != nil {
		return nil, err
	}
	trust, err := plugins.NewTrust(plugins.Signatures(c.Plugins.Signatures), c.Plugins.PublicKeys)
	if err != nil {
		return nil, err
	}
	verdict, err := trust.Verify(module, p.SHA256)
	if err != nil {
		return nil, err
	}
	if verdict.Warning != nil {
		ds.log.Warn("module is used all the same", "projection", p.Name, "reason", verdict.Warning)
	}
	ds.noteSigner(module.SHA256, verdict.Signer)
	upcasters, err := ds.readUpcasters(c, &p, trust)
	if err != nil {
		return nil, err
	}
	p.Settings, p.Origin = nil, "" // SettingsJSON has them
	text, err := json.Marshal(p)
	return &declared{config: p, module: module, upcasters: upcasters, text: text}, err
}

// spec checks a module, compiles it and tries it.
func (ds *declarations) spec(ctx context.Context, d *declared) (_ engine.Spec, err error) {
	var none engine.Spec
	p := d.config
	m, err := ds.host.Load(ctx, d.module.Bytes, host.Limits{ModuleBytes: int64(p.Limits.Module), Memory: uint64(p.Limits.Memory), Table: uint64(p.Limits.Table), Compile: time.Duration(p.Limits.Compile), Fuel: uint64(p.Limits.Fuel)})
	if err != nil {
		return none, fmt.Errorf("module %s %w", p.Module, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close(context.WithoutCancel(ctx)))
		}
	}()
	upcasters, err := ds.loadUpcasters(ctx, d)
	if err != nil {
		return none, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeUpcasters(ctx, upcasters))
		}
	}()
	filter, err := fields.Filter(p.Subjects)
	if err != nil {
		return none, err
	}
	key, err := fields.Key(p.Key)
	if err != nil {
		return none, err
	}
	log := guest.LimitLog(cli.GuestLog{Log: ds.log.With("projection", p.Name), Kept: &ds.logs, Projection: p.Name}, p.Limits.LogLines)
	spec := engine.Spec{
		Name: p.Name, Module: m, Settings: p.SettingsJSON, Stream: p.Stream, Subjects: p.Subjects, Key: p.Key, Start: p.Start.Start,
		Upcasters: upcasters, Filter: filter, KeyOf: key, Partitions: p.Partitions, OnError: engine.Policy(p.OnError), Letters: p.Limits.DeadLetters,
		Quota:  state.Quota{Keys: p.Limits.Keys, Bytes: int64(p.Limits.State)},
		Batch:  streams.ReadLimit{Events: p.Limits.BatchEvents, Bytes: int(p.Limits.BatchBytes)},
		Memory: uint64(p.Limits.Memory), Fuel: uint64(p.Limits.Fuel), Window: time.Duration(p.Checkpoint.Window), Cache: int(p.Checkpoint.Cache),
		MemorySnapshots: engine.MemoryPolicy{Events: uint64(p.Snapshots.EveryEvents), Every: time.Duration(p.Snapshots.Every), Keep: p.Snapshots.Keep},
		History:         engine.HistoryPolicy{All: p.History.Keep.All, Events: p.History.Keep.Events, Age: time.Duration(p.History.Keep.Age), Every: uint64(p.History.Every)},
		Pins:            engine.PinPolicy{Max: p.Snapshots.Pins, MaxAge: time.Duration(p.Snapshots.PinMaxAge)},
		Emit:            engine.EmitRules{Subjects: p.Emit.Subjects, AllowLoop: p.Emit.AllowLoop, MaxHops: p.Emit.MaxHops, History: p.Emit.History},
		Outbox:          engine.OutboxLimit{Rows: p.Limits.Outbox, Bytes: int(p.Limits.OutboxBytes)},
		Log:             log,
		Schema:          p.Schema, AutoPromote: p.AutoPromote.PromotePolicy, KeepPrevious: time.Duration(p.KeepPrevious),
		Declaration: d.text,
	}
	if p.OnChange == "swap" {
		spec.OnChange = engine.SwapCode
	}
	if err := spec.Check(); err != nil {
		return none, fmt.Errorf("module %s %w", p.Module, err)
	}
	in, err := m.Instantiate(ctx, guest.Config{Settings: spec.Settings, Memory: spec.Memory, Log: log})
	if err != nil {
		return none, fmt.Errorf("module %s: %w", p.Module, err)
	}
	return spec, in.Close(ctx)
}

// restore makes the spec of a generation again that the catalog knows, with the module
// that was kept. It is engine.Options.Restore.
func (ds *declarations) restore(ctx context.Context, text []byte, digest string) (engine.Spec, error) {
	var p config.Projection
	if err := json.Unmarshal(text, &p); err != nil {
		return engine.Spec{}, fmt.Errorf("read declaration: %w", err)
	}
	b, err := ds.kept.get(digest)
	if err != nil {
		return engine.Spec{}, err
	}
	upcasters, err := ds.keptUpcasters(&p)
	if err != nil {
		return engine.Spec{}, err
	}
	return ds.spec(ctx, &declared{config: p, module: plugins.Module{Name: p.Module, Bytes: b, SHA256: digest}, upcasters: upcasters, text: text})
}

// first makes the spec of a projection for the first time.
func (ds *declarations) first(ctx context.Context, c *config.Config, p config.Projection) (engine.Spec, error) {
	d, err := ds.read(c, p)
	if err != nil {
		ds.note(p.Name, knownDeclaration{refused: err.Error(), runs: true})
		return engine.Spec{}, err
	}
	spec, err := ds.spec(ctx, d)
	if err == nil {
		err = ds.keep(d)
	}
	k := knownDeclaration{fingerprint: d.fingerprint(), runs: true}
	if err != nil {
		k.refused = err.Error()
	}
	ds.note(p.Name, k)
	return spec, err
}

// sweepKept removes the modules that no generation runs any more.
func (ds *declarations) sweepKept(catalog *store.Catalog) error {
	needed := map[string]bool{}
	for _, name := range catalog.Names() {
		for _, g := range catalog.Projection(name).Generations {
			needed[g.Module] = true
			for _, digest := range upcasterDigests(g.Declaration) {
				needed[digest] = true
			}
			for _, was := range g.Past { // replays of what it applied need it
				needed[was.Module] = true
				for _, digest := range upcasterDigests(was.Declaration) {
					needed[digest] = true
				}
			}
		}
	}
	return ds.kept.sweep(needed)
}

// declare has the engine take what a projection is declared as, unless that has not
// changed since it was declared last. What was refused is tried again when again is set.
func (ds *declarations) declare(ctx context.Context, e *engine.Engine, d reading, again bool) (wire.Declared, error) {
	was := ds.get(d.name)
	switch {
	case errors.Is(d.err, fs.ErrNotExist) && was.runs:
		ds.note(d.name, knownDeclaration{refused: d.err.Error()})
		return wire.Declared{Projection: d.name, Action: engine.ActStop, Why: d.err.Error()}, e.Withdraw(ctx, d.name, d.err.Error())
	case errors.Is(d.err, fs.ErrNotExist) && was.refused == d.err.Error(): // it is stopped
		return wire.Declared{Projection: d.name, Action: engine.ActNothing, Refused: was.refused}, nil
	case d.err != nil:
		return ds.refuse(ctx, e, d.name, knownDeclaration{refused: d.err.Error(), runs: was.runs}, d.err)
	case d.fingerprint() == was.fingerprint && was.refused == "":
		return wire.Declared{Projection: d.name, Action: engine.ActNothing}, e.Refuse(ctx, d.name, nil)
	case d.fingerprint() == was.fingerprint && !again:
		return wire.Declared{Projection: d.name, Action: engine.ActNothing, Refused: was.refused}, nil
	}
	spec, err := ds.spec(ctx, d.declared)
	if err == nil {
		err = ds.keep(d.declared)
	}
	var plan engine.Plan
	if err == nil {
		plan, err = e.Declare(ctx, spec)
	}
	if err != nil {
		return ds.refuse(ctx, e, d.name, knownDeclaration{d.fingerprint(), err.Error(), was.runs}, err)
	}
	ds.note(d.name, knownDeclaration{fingerprint: d.fingerprint(), runs: true})
	return wire.Declared{Projection: d.name, Action: plan.Action, Why: plan.Why}, nil
}

// refuse notes why a declaration is not taken.
func (ds *declarations) refuse(ctx context.Context, e *engine.Engine, name string, k knownDeclaration, why error) (wire.Declared, error) {
	ds.note(name, k)
	return wire.Declared{Projection: name, Action: engine.ActNothing, Refused: why.Error()}, e.Refuse(ctx, name, why)
}

// refuseMissing has the projections that ran before go on, and tells why, when files that
// may declare them are refused.
func (ds *declarations) refuseMissing(ctx context.Context, e *engine.Engine, c *config.Config, catalog *store.Catalog) (err error) {
	why := errors.Join(c.Refused...)
	if why == nil {
		return nil
	}
	for _, name := range catalog.Names() {
		record := catalog.Projection(name)
		if record.Live == "" || record.Withdrawn() || declares(c, name) {
			continue
		}
		ds.note(name, knownDeclaration{refused: why.Error(), runs: true})
		err = errors.Join(err, e.Refuse(ctx, name, why))
	}
	return err
}

func declares(c *config.Config, name string) bool {
	return slices.ContainsFunc(c.Projections, func(p config.Projection) bool { return p.Name == name })
}

// withdrawOthers stops the projections that are not declared any more.
func (ds *declarations) withdrawOthers(ctx context.Context, e *engine.Engine, c *config.Config) (done []wire.Declared, err error) {
	for _, name := range ds.names() {
		if declares(c, name) {
			continue
		}
		if why := errors.Join(c.Refused...); why != nil { // one of those files may declare it
			one, rerr := ds.refuse(ctx, e, name, knownDeclaration{refused: why.Error(), runs: true}, why)
			done, err = append(done, one), errors.Join(err, rerr)
			continue
		}
		ds.forget(name)
		why := "it is no longer declared"
		done = append(done, wire.Declared{Projection: name, Action: engine.ActStop, Why: why})
		err = errors.Join(err, e.Withdraw(ctx, name, why))
	}
	return done, err
}

func (ds *declarations) get(name string) knownDeclaration {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.known[name]
}

func (ds *declarations) note(name string, k knownDeclaration) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.known == nil {
		ds.known = map[string]knownDeclaration{}
	}
	ds.known[name] = k
}

func (ds *declarations) forget(name string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	delete(ds.known, name)
}

func (ds *declarations) names() []string {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return slices.Sorted(maps.Keys(ds.known))
}
