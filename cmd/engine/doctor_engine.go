package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/host"
)

// checkModules reads the modules, looks at whose they are, and holds them against the contract.
// They are not compiled: engine check does that.
func (d *doctor) checkModules(ctx context.Context) {
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		d.fail("modules", err.Error(), "no module can be run", "see that the system's folder for temporary files can be written")
		return
	}
	defer done()
	if !h.Compiler() {
		d.warn("modules", "the system refuses executable memory", "modules are interpreted, some seventy times slower", "systemd: no MemoryDenyWriteExecute")
	}
	if _, err := os.Stat(d.config.Plugins.Dir); err != nil && len(d.config.Projections) > 0 {
		d.fail("modules", "plugins.dir: "+err.Error(), "no module of it can be run", "create it, or set plugins.dir to the folder that holds your modules")
		return
	}
	ds := &declarations{host: h, log: cli.QuietLog(io.Discard)}
	all, err := ds.readAll(d.config)
	if err != nil {
		d.warn("modules", err.Error(), "one is being written just now", "run this again")
		return
	}
	well := 0
	for _, m := range all {
		err := m.err
		if err == nil {
			_, err = h.Check(m.module.Bytes, host.Limits{ModuleBytes: int64(m.config.Limits.Module), Memory: uint64(m.config.Limits.Memory), Table: uint64(m.config.Limits.Table)})
		}
		if err != nil {
			d.fail("modules", fmt.Sprintf("projection %s: %v", m.name, err), "it does not start, or goes on with the module that ran before", "put a module there that engine check passes, and that is signed if that is asked for")
			continue
		}
		well++
	}
	if well == len(all) {
		d.ok("modules", "%s, as the contract asks; signatures are %s", cli.Numbered(well, "module"), d.config.Plugins.Signatures)
	}
}

// checkHTTP looks at who reaches the address, and whether it is free.
func (d *doctor) checkHTTP() {
	h := d.config.HTTP
	if h.Listen == "" {
		d.ok("http", "is off: nothing is served, and no metrics")
		return
	}
	if !d.checkAccess() {
		return
	}
	who := "everybody on this machine may do everything"
	if h.Guarded() {
		who = "with tokens"
	}
	if h.Public() && h.TLS.Cert == "" { // without tokens the configuration is refused
		d.warn("http", h.Listen+" is reached by others, without TLS", "tokens and state cross the network in the clear", "set [http.tls], or put a proxy with TLS in front and listen where only that reaches")
	} else {
		d.ok("http", "%s, %s", h.Listen, who)
	}
	if e := d.config.NATS.Embedded; cli.Embedded(d.config) && e.Public() {
		d.warn("nats", "the embedded server listens at "+e.Listen+", which others reach", "it asks for no credentials", "set nats.embedded.listen to a loopback address, or use a server of its own")
	}
	if d.running {
		return // it has the address, or another one
	}
	l, err := net.Listen("tcp", h.Listen)
	if err != nil {
		d.fail("http", fmt.Sprintf("http.listen: %v", err), "the engine does not start", "stop the program that has the address, or configure another one: 127.0.0.1:0 is any port that is free")
		return
	}
	_ = l.Close()
}

// certificateSoon is when a certificate should have been renewed.
const certificateSoon = 14 * 24 * time.Hour

// checkAccess reads tokens and certificates as an engine does at its start, and reports whether it would start.
func (d *doctor) checkAccess() bool {
	const stays = "the engine does not start"
	if _, err := openAccess(d.config.HTTP, cli.QuietLog(io.Discard)); err != nil {
		d.fail("http", err.Error(), stays, "put tokens there, one a line, of 16 characters at least: openssl rand -hex 32")
		return false
	}
	made, err := openTLS(d.config.HTTP, cli.QuietLog(io.Discard))
	if err != nil {
		d.fail("http", err.Error(), stays, "put a certificate, and the key that belongs to it, in PEM into the files of [http.tls]")
		return false
	}
	if made == nil {
		return true
	}
	pair, err := tls.LoadX509KeyPair(d.config.HTTP.TLS.Cert, d.config.HTTP.TLS.Key)
	if err != nil {
		return true // it has changed since
	}
	switch left := pair.Leaf.NotAfter.Sub(d.now()); {
	case left <= 0:
		d.fail("http", fmt.Sprintf("the certificate %s ended at %s", d.config.HTTP.TLS.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateTime)), "clients refuse it", "renew it: the file is read again when it changes")
	case left < certificateSoon:
		d.warn("http", fmt.Sprintf("the certificate %s ends at %s", d.config.HTTP.TLS.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateTime)), "clients refuse it from then on", "renew it: the file is read again when it changes")
	case d.now().Before(pair.Leaf.NotBefore):
		d.fail("http", fmt.Sprintf("the certificate %s begins at %s", d.config.HTTP.TLS.Cert, pair.Leaf.NotBefore.UTC().Format(time.DateTime)), "clients refuse it until then", "set the clock of this machine, or that of who made the certificate")
	}
	return true
}

// manyBehind is when a live projection is behind by so many events that it is not for a moment.
const manyBehind = 10000

// checkEngine asks the engine that runs, if one does.
func (d *doctor) checkEngine(ctx context.Context) {
	cl, err := d.asked()
	if err != nil {
		d.fail("engine", err.Error(), "the engine cannot be asked", "set GNOMON_TOKEN, and for https GNOMON_CA")
		return
	}
	if cl == nil {
		d.ok("engine", "none runs on the configuration")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := cl.Projections(ctx)
	if err != nil {
		do := "see its log"
		if errors.Is(err, client.ErrUnreachable) {
			do = cli.StartOne
		}
		d.fail("engine", err.Error(), "nothing is served", do)
		return
	}
	d.checkVersion(ctx, cl)
	well := 0
	for _, s := range all {
		if d.checkProjection(s) {
			well++
		}
	}
	if well == len(all) {
		d.ok("engine", "it serves %s, all as they should be", cli.Numbered(len(all), "projection"))
	}
}

// asked is who asks the engine; nil: there is none to be asked.
func (d *doctor) asked() (*client.Client, error) {
	if d.server != nil {
		return d.server, nil
	}
	if !d.running || d.holder.HTTP == "" {
		return nil, nil
	}
	return cli.OwnClient(d.config.HTTP, d.holder)
}

// checkVersion compares the engine with this program.
func (d *doctor) checkVersion(ctx context.Context, cl *client.Client) {
	switch v, err := cl.Version(ctx); {
	case err != nil:
		d.warn("version", err.Error(), "which version runs is not known", "see its log")
	case v != version:
		d.warn("version", fmt.Sprintf("the engine is %s, this program %s", v, version), "what the one knows the other may not", "restart the engine, or use the program that it was started with")
	default:
		d.ok("version", "the engine is %s, as this program", v)
	}
}

// checkProjection reports whether a projection is as it should be.
func (d *doctor) checkProjection(s engine.Status) bool {
	said, do := s.Reason, s.Hint
	switch {
	case s.State == engine.Halted, s.State == engine.Diverged, s.State == engine.Stopped:
		d.fail("engine", fmt.Sprintf("projection %s is %s: %s", s.Projection, s.State, said), "it applies no events", do)
	case s.State == engine.Stalled, s.State == engine.Paused:
		d.warn("engine", fmt.Sprintf("projection %s is %s: %s", s.Projection, s.State, said), "it applies no events for now", do)
	case s.Refused != "":
		d.warn("engine", fmt.Sprintf("projection %s: its newest declaration is refused: %s", s.Projection, s.Refused), "what ran before goes on", "mend the module or the configuration: engine plan")
	case s.Warning != "":
		d.warn("engine", fmt.Sprintf("projection %s: %s", s.Projection, s.Warning), "it may not be what was meant", "see docs/OPERATIONS.md")
	case s.Behind > manyBehind:
		d.warn("engine", fmt.Sprintf("projection %s is %s, %d behind", s.Projection, s.State, s.Behind), "what is read is not what is stored", "wait while it catches up; if it stays behind, see docs/OPERATIONS.md")
	default:
		return true
	}
	return false
}
