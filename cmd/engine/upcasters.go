package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/fields"
	"gnomon/engine/guest"
	"gnomon/engine/repro"
	"gnomon/host"
	"gnomon/plugins"
)

// readUpcasters reads the modules of a projection's upcasters, and notes their digests in
// its declaration: they are a part of what it is made of.
func (ds *declarations) readUpcasters(c *config.Config, p *config.Projection, trust *plugins.Trust) (modules []plugins.Module, err error) {
	p.Upcasters = slices.Clone(p.Upcasters)
	for i := range p.Upcasters {
		u := &p.Upcasters[i]
		m, err := plugins.Load(u.ModuleDirs, u.Module, int64(u.Limits.Module))
		if err != nil {
			return nil, fmt.Errorf("upcaster %s: %w", u.Name, err)
		}
		verdict, err := trust.Verify(m, u.SHA256)
		if err != nil {
			return nil, fmt.Errorf("upcaster %s: %w", u.Name, err)
		}
		if verdict.Warning != nil {
			ds.log.Warn("module is used all the same", "upcaster", u.Name, "reason", verdict.Warning)
		}
		u.Settings, u.Digest = nil, m.SHA256 // SettingsJSON has them
		modules = append(modules, m)
	}
	return modules, nil
}

// keptUpcasters reads the modules of a recorded declaration's upcasters.
func (ds *declarations) keptUpcasters(p *config.Projection) (modules []plugins.Module, err error) {
	for _, u := range p.Upcasters {
		b, err := ds.kept.get(u.Digest)
		if err != nil {
			return nil, fmt.Errorf("upcaster %s: %w", u.Name, err)
		}
		modules = append(modules, plugins.Module{Name: u.Module, Bytes: b, SHA256: u.Digest})
	}
	return modules, nil
}

// keep keeps the modules of a declaration.
func (ds *declarations) keep(d *declared) error {
	for _, m := range append([]plugins.Module{d.module}, d.upcasters...) {
		if err := ds.kept.put(m.SHA256, m.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// upcasterDigests are the modules that a recorded declaration needs beside its own.
func upcasterDigests(declaration []byte) (digests []string) {
	var d struct {
		Upcasters []struct{ Digest string }
	}
	if json.Unmarshal(declaration, &d) != nil {
		return nil // it cannot be restored either
	}
	for _, u := range d.Upcasters {
		digests = append(digests, u.Digest)
	}
	return digests
}

// loadUpcasters checks the modules of a projection's upcasters, compiles them and tries
// them.
func (ds *declarations) loadUpcasters(ctx context.Context, d *declared) (all []engine.Upcaster, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeUpcasters(ctx, all))
		}
	}()
	for i, u := range d.config.Upcasters {
		m, err := ds.host.Load(ctx, d.upcasters[i].Bytes, upcasterLimits(&u))
		if err != nil {
			return all, fmt.Errorf("upcaster %s: module %s %w", u.Name, u.Module, err)
		}
		up := engine.Upcaster{
			Name: u.Name, Module: m, Settings: u.SettingsJSON, Subjects: u.Subjects, Fuel: uint64(u.Limits.Fuel), Memory: uint64(u.Limits.Memory),
			Log: guest.LimitLog(cli.GuestLog{Log: ds.log.With("projection", d.config.Name, "upcaster", u.Name), Kept: &ds.logs, Projection: d.config.Name, Upcaster: u.Name}, u.Limits.LogLines),
		}
		all = append(all, up)
		if all[i].Filter, err = fields.Filter(u.Subjects); err != nil {
			return all, fmt.Errorf("upcaster %s: %w", u.Name, err)
		}
		if err := up.Check(); err != nil {
			return all, fmt.Errorf("upcaster %s: module %s %w", u.Name, u.Module, err)
		}
		in, err := m.Instantiate(ctx, guest.Config{Settings: up.Settings, Memory: up.Memory, Log: up.Log})
		if err == nil {
			err = in.Close(ctx)
		}
		if err != nil {
			return all, fmt.Errorf("upcaster %s: module %s: %w", u.Name, u.Module, err)
		}
	}
	return all, nil
}

func upcasterLimits(u *config.Upcaster) host.Limits {
	l := u.Limits
	return host.Limits{
		ModuleBytes: int64(l.Module), Memory: uint64(l.Memory), Table: uint64(l.Table), Fuel: uint64(l.Fuel), Compile: time.Duration(l.Compile),
		Section: "upcaster",
	}
}

func closeUpcasters(ctx context.Context, all []engine.Upcaster) error {
	var errs []error
	for _, u := range all {
		errs = append(errs, u.Module.(*host.Module).Close(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}

// addUpcasters adds the bytes of the upcasters' modules, which were kept, to a case.
func (k keptModules) addUpcasters(c *repro.Case) error {
	for _, u := range c.Spec.Upcasters {
		b, err := k.get(u.Module.Digest())
		if err != nil {
			return fmt.Errorf("upcaster %s: %w", u.Name, err)
		}
		c.Upcasters = append(c.Upcasters, b)
	}
	return nil
}
