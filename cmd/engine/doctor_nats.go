package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/ingest"
	"gnomon/engine/streams"
)

// What is enough of a NATS server.
const (
	atomicSince       = "2.12.0"              // batches of events
	slowTrip          = 50 * time.Millisecond // of one message, and back
	smallPayload      = 1 << 20               // the server's default
	clockAhead        = time.Second           // and more is no matter of the way
	clockWrong        = time.Minute           // times of events and of what is kept by age mean nothing
	shortTargetWindow = 10 * time.Second      // a publish that is tried again takes less
	shortWindow       = 30 * time.Second      // an engine that is started again takes so long to repeat itself
	longSync          = 10 * time.Second      // a crash of the machine may cost what was stored in it
	fullEnough        = 0.9                   // of what an account may have
	noSuchName        = "gnomon-doctor"       // of a consumer that there is not
	permissions       = "what is listed in docs/OPERATIONS.md, Permissions in NATS"
)

// checkNATS examines the server as the engine will see it.
func (d *doctor) checkNATS(ctx context.Context) {
	if cli.Embedded(d.config) {
		d.checkEmbedded()
		return
	}
	b, err := d.brokerOf(ctx)
	if err != nil {
		d.fail("nats", err.Error(), "no event can be read", "check nats.url, the credentials in [nats], and nats.tls")
		return
	}
	defer b.Close()
	if !b.Connected() {
		d.fail("nats", fmt.Sprintf("no server answers at nats.url: %v", b.LastError()), "no event can be read", "start the server, or name another one")
		return
	}
	if !d.checkServer(b) || !d.checkAccount(ctx, b) {
		return
	}
	for _, s := range d.streams() {
		d.checkSeed(s)
		d.checkStream(ctx, b, s)
	}
	d.checkEmits(ctx, b)
	if d.config.NATS.Service {
		for _, subject := range []string{"gnomon.v1.doctor", "$SRV.PING." + noSuchName} { // where no request comes
			d.tried(b.TryListen(ctx, subject), "nats.service: requests over NATS are not answered")
		}
	}
}

// checkEmbedded looks at what the configuration says of the server in the process. Its streams
// are those that the engine made, or reports as different.
func (d *doctor) checkEmbedded() {
	sync := time.Duration(d.config.NATS.Embedded.SyncInterval)
	if sync > longSync {
		d.warn("nats", fmt.Sprintf("nats.embedded.sync_interval is %v", sync), "a crash of the machine loses the events of that time, though they were acknowledged", "set it to \"1s\", or to \"0s\" to sync every write")
		return
	}
	d.ok("nats", "embedded, synced every %v", sync)
	for _, s := range d.streams() {
		d.checkSeed(s)
		if !d.mayReplicate(s, "") || d.checkStored(s) {
			continue
		}
		if len(s.Subjects) == 0 {
			d.fail("stream "+s.Name, "there is none", "its projections wait for it", "declare its subjects in [[stream]], so that the engine creates it")
			continue
		}
		r := broker.StreamReport{Memory: s.Storage == "memory", MaxAge: time.Duration(s.MaxAge), MaxBytes: int64(s.MaxBytes), Duplicates: time.Duration(s.DuplicateWindow)}
		if d.checkKeeping(s.Name, r) {
			d.ok("stream "+s.Name, "is the embedded server's")
		}
	}
}

// checkStored looks at a stream of the embedded server, by what its files say, and reports whether
// there is one: that server is in the process of the engine, and cannot be asked without it.
func (d *doctor) checkStored(s config.Stream) bool {
	check := "stream " + s.Name
	r, err := broker.EmbeddedReport(filepath.Join(d.config.DataDir, "nats"), streamSpec(s))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		d.warn(check, err.Error(), "whether it is as it has to be is not known", "run this as the engine's user; if that reads it neither, see docs/operations/backup.md")
		return true
	}
	well := d.checkKeeping(s.Name, r)
	if !d.checkConfig(s.Name, r) {
		well = false
	}
	if well {
		d.ok(check, "is the embedded server's, and as it has to be")
	}
	return true
}

// checkConfig reports whether a stream can be projected, and is as declared.
func (d *doctor) checkConfig(stream string, r broker.StreamReport) bool {
	well := true
	if err := ingest.Usable(r.Config); err != nil {
		well = false
		d.fail("stream "+stream, err.Error(), "a projection could not be built from it again", "project a stream with retention limits")
	}
	for _, difference := range r.Differences {
		well = false
		d.warn("stream "+stream, difference.String(), "it is used as it is", "change the one or the other: nats stream edit "+stream)
	}
	return well
}

// checkServer reports whether there is one.
func (d *doctor) checkServer(b *broker.Broker) bool {
	f, err := b.Facts()
	if err != nil {
		d.fail("nats", err.Error(), "no event can be read", "see to the server")
		return false
	}
	well := true
	warn := func(found, why, do string) { well = false; d.warn("nats", found, why, do) }
	if older(f.Version, atomicSince) {
		warn("nats-server "+f.Version+" is older than "+atomicSince, "several events cannot be appended as one; Gnomon is tested with 2.15", "upgrade the server")
	}
	if f.MaxPayload < smallPayload {
		warn(fmt.Sprintf("max_payload is %s", humanize.IBytes(uint64(f.MaxPayload))), "larger events, answers over NATS and modules in a bucket are refused", "set max_payload to 1MB, the server's default, or more")
	}
	if f.RoundTrip > slowTrip {
		warn(fmt.Sprintf("a message takes %v there and back", f.RoundTrip.Round(time.Millisecond)), "an append waits for that each time, and catching up is slower", "run the engine near the server")
	}
	if well {
		d.ok("nats", "nats-server %s (%s), %v there and back, max_payload %s", f.Version, f.Name, f.RoundTrip.Round(10*time.Microsecond), humanize.IBytes(uint64(f.MaxPayload)))
	}
	return true
}

// older reports whether a version is below another one. One that cannot be read is not.
func older(version, than string) bool {
	var a, b [3]int
	_, errA := fmt.Sscanf(version, "%d.%d.%d", &a[0], &a[1], &a[2])
	_, errB := fmt.Sscanf(than, "%d.%d.%d", &b[0], &b[1], &b[2])
	return errA == nil && errB == nil && slices.Compare(a[:], b[:]) < 0
}

// checkAccount reports whether the account has JetStream.
func (d *doctor) checkAccount(ctx context.Context, b *broker.Broker) bool {
	a, err := b.Account(ctx)
	var refused *broker.PermissionError
	switch {
	case errors.As(err, &refused): // only a bucket with state needs it
		d.ok("account", "its limits are not known: the user may not ask at %s", refused.Subject)
		return true
	case errors.Is(err, broker.ErrNoJetStream):
		d.fail("account", err.Error(), "there are no streams without it", "enable jetstream in the server's configuration, and for the account")
		return false
	case err != nil:
		d.fail("account", err.Error(), "JetStream does not answer", "see the server's log; a cluster needs a majority of its servers")
		return false
	}
	well := true
	for _, use := range []struct {
		of        string
		have, max int64
		text      func(int64) string
	}{
		{"streams", int64(a.Streams), int64(a.MaxStreams), humanize.Comma},
		{"consumers", int64(a.Consumers), int64(a.MaxConsumers), humanize.Comma},
		{"storage", a.Stored, a.MaxStored, func(n int64) string { return humanize.IBytes(uint64(n)) }},
	} {
		if use.max > 0 && float64(use.have) >= fullEnough*float64(use.max) {
			well = false
			d.warn("account", fmt.Sprintf("%s: %s of %s are used", use.of, use.text(use.have), use.text(use.max)), "at the limit nothing more is stored or read", "raise the account's limit, or remove what is not needed")
		}
	}
	if well {
		d.ok("account", "has JetStream: %s, %s", cli.Numbered(a.Streams, "stream"), cli.Numbered(a.Consumers, "consumer"))
	}
	return true
}

// streams are those that are declared, and those that projections read.
func (d *doctor) streams() []config.Stream {
	all := slices.Clone(d.config.Streams)
	for _, p := range d.config.Projections {
		if !slices.ContainsFunc(all, func(s config.Stream) bool { return s.Name == p.Stream }) {
			all = append(all, config.Stream{Name: p.Stream})
		}
	}
	return all
}

// checkStream asks for a stream as the engine does.
func (d *doctor) checkStream(ctx context.Context, b *broker.Broker, s config.Stream) {
	check := "stream " + s.Name
	r, err := b.Report(ctx, streamSpec(s))
	var refused *broker.PermissionError
	switch {
	case errors.As(err, &refused):
		d.tried(err, "whether there is stream "+s.Name+" cannot be known")
		return
	case broker.Absent(err) && len(s.Subjects) > 0:
		if d.tried(b.Try(ctx, "$JS.API.STREAM.CREATE."+s.Name), "stream "+s.Name+" is absent, and cannot be created") {
			d.checkCreation(ctx, b, s)
		}
		return
	case broker.Absent(err):
		d.fail(check, "there is none", "its projections wait for it", "create it, or declare its subjects in [[stream]], so that the engine does")
		return
	case err != nil:
		d.fail(check, err.Error(), "its projections wait for it", "see the server's log")
		return
	}
	d.checkClock(s.Name, r)
	well := d.checkKeeping(s.Name, r)
	if !d.checkConfig(s.Name, r) {
		well = false
	}
	for _, trouble := range r.Troubles {
		well = false
		d.fail(check, "does not get its events: "+trouble, "projections of it do not get them, either", "see to the stream that they come from")
	}
	if !d.mayRead(ctx, b, s.Name) {
		well = false
	}
	if well {
		d.ok(check, "as it has to be; what its server syncs, and when, is not told over NATS: see jetstream.sync_interval there")
	}
}

// checkCreation looks for what keeps an engine from creating a stream.
func (d *doctor) checkCreation(ctx context.Context, b *broker.Broker, s config.Stream) {
	f, err := b.Facts()
	if err != nil || !d.mayReplicate(s, f.Cluster) {
		return
	}
	for _, subject := range s.Subjects {
		if other, _ := b.StreamOf(ctx, subject); other != "" {
			d.fail("stream "+s.Name, fmt.Sprintf("is absent, and %q of its subjects is stored by stream %s already", subject, other), "it cannot be created, and the engine does not start", "leave the subject to one of them, or project stream "+other)
			return
		}
	}
	d.ok("stream "+s.Name, "is absent, and created at the start")
}

// mayReplicate reports whether a server can keep as many replicas of a stream; cluster: its cluster, if it is in one.
func (d *doctor) mayReplicate(s config.Stream, cluster string) bool {
	if s.Replicas <= 1 || cluster != "" {
		return true
	}
	d.fail("stream "+s.Name, fmt.Sprintf("it is to have %d replicas, and the server is in no cluster", s.Replicas), "it cannot be created, and the engine does not start", "set replicas = 1, or use a cluster of that many servers")
	return false
}

// checkSeed looks whether what an empty stream begins with can be read.
func (d *doctor) checkSeed(s config.Stream) {
	if s.Seed == "" {
		return
	}
	f, err := os.Open(s.Seed)
	if err != nil {
		d.warn("stream "+s.Name, fmt.Sprintf("its seed: %v", err), "the engine does not start while the stream is empty", "put the file there, or remove seed from the configuration")
		return
	}
	_ = f.Close()
}

// checkEmits looks for a stream for what projections emit.
func (d *doctor) checkEmits(ctx context.Context, b *broker.Broker) {
	declared := func(subject string) bool {
		return slices.ContainsFunc(d.config.Streams, func(s config.Stream) bool {
			return slices.ContainsFunc(s.Subjects, func(stored string) bool { return streams.FiltersOverlap(stored, subject) })
		})
	}
	for _, p := range d.config.Projections {
		for _, subject := range p.Emit.Subjects {
			if !d.mayEmit(ctx, b, p.Name, subject) {
				continue
			}
			switch target, known := b.StreamOf(ctx, subject); {
			case target != "":
				d.checkTarget(ctx, b, p.Name, target)
			case known && !declared(subject):
				d.warn("emit", fmt.Sprintf("projection %s: no stream stores %q", p.Name, subject), waits, "declare the subject in a [[stream]], or remove it from projection.emit.subjects")
			}
		}
	}
}

// waits is what becomes of what a projection emits and cannot publish.
const waits = "what it emits there waits, and it takes no more events when projection.limits.outbox is full"

// mayEmit tries whether what a projection emits may be published to a subject, which may have
// wildcards, and whether its stream may be asked for.
func (d *doctor) mayEmit(ctx context.Context, b *broker.Broker, projection, subject string) bool {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" {
			tokens[i] = noSuchName
		}
	}
	err := b.TryPublish(ctx, strings.Join(tokens, "."))
	if refused, ok := errors.AsType[*broker.PermissionError](err); ok {
		all := *refused
		all.Missing = subject
		err = &all
	}
	without := "projection " + projection + ": " + waits
	may := d.tried(err, without)
	return d.tried(b.Try(ctx, "$JS.API.STREAM.NAMES"), without) && may
}

// checkTarget looks at a stream that a projection emits to.
func (d *doctor) checkTarget(ctx context.Context, b *broker.Broker, projection, stream string) {
	without := "projection " + projection + ": " + waits
	r, err := b.Report(ctx, broker.StreamSpec{Name: stream})
	if !d.tried(err, without) || !d.mayAsk(ctx, b, without, "STREAM.MSG.GET."+stream, "CONSUMER.CREATE."+stream+"."+noSuchName, "CONSUMER.MSG.NEXT."+stream+"."+noSuchName, "CONSUMER.DELETE."+stream+"."+noSuchName) {
		return
	}
	if slices.ContainsFunc(d.streams(), func(s config.Stream) bool { return s.Name == stream }) {
		return // it was looked at
	}
	found := ""
	switch full := filled(r); {
	case r.NoAck:
		found = "acknowledges nothing (no_ack)"
	case full != "":
		found = "refuses events beyond " + full
	case r.Duplicates > 0 && r.Duplicates < shortTargetWindow:
		d.warn("emit", fmt.Sprintf("projection %s: stream %s has a duplicate_window of %v", projection, stream, r.Duplicates), "a message that the server itself is late with may be stored twice", "set it to 2m, the server's default, or to 10s or more: nats stream edit "+stream)
	}
	if found != "" {
		d.warn("emit", fmt.Sprintf("projection %s: stream %s %s", projection, stream, found), waits, "change that: nats stream edit "+stream)
	}
}

// checkKeeping reports whether a stream keeps what projections need.
func (d *doctor) checkKeeping(name string, r broker.StreamReport) bool {
	well := true
	warn := func(found, why, do string) { well = false; d.warn("stream "+name, found, why, do) }
	if r.Memory {
		warn("its events are in memory", "they are gone when the server stops, and projections of it are then diverged", "use storage = \"file\"")
	}
	if limits := removing(r); limits != "" {
		warn("it removes events: "+limits, "a projection that is behind by more loses them unread, and a rebuild begins with what is left", "set no limit, or one that no outage and no rebuild comes near; archives of states: engine snapshot export")
	}
	if r.Duplicates > 0 && r.Duplicates < shortWindow {
		warn(fmt.Sprintf("its duplicate_window is %v", r.Duplicates), "an import or an application that repeats itself after an outage stores events twice", "set it to 2m, the server's default, or more")
	}
	if r.NoAck {
		warn("it acknowledges nothing (no_ack)", "whoever appends to it does not learn what was stored, and what projections emit to it waits", "set no_ack = false: nats stream edit "+name)
	}
	if full := filled(r); full != "" {
		warn("it refuses events beyond "+full, "appends fail, and what projections emit to it waits", "raise the limit: nats stream edit "+name)
	}
	if need := d.readersOf(name); r.MaxConsumers > 0 && !d.running && r.Consumers+need > r.MaxConsumers {
		warn(fmt.Sprintf("it has %d of at most %d consumers, and projections need %d", r.Consumers, r.MaxConsumers, need), "a projection that gets none reads nothing", "raise max_consumers, which takes a new stream, or remove consumers: nats consumer ls "+name)
	}
	if r.Async {
		warn("it acknowledges events before they are written (persist_mode async)", "a crash of its server loses acknowledged events, and projections that had them are then diverged", "use the default persist_mode")
	}
	if len(r.Sources) > 1 {
		warn("its events come from "+strings.Join(r.Sources, ", "), "events of different sources are in the order of their arrival: another one when the stream is built again", "have projections not depend on that order")
	}
	return well
}

// readersOf is how many projections read a stream: each has a consumer of its own.
func (d *doctor) readersOf(stream string) (n int) {
	for _, p := range d.config.Projections {
		if p.Stream == stream {
			n++
		}
	}
	return n
}

// filled says which limit refuses events, or nearly does; empty: none.
func filled(r broker.StreamReport) string {
	switch {
	case !r.DiscardNew:
		return ""
	case r.MaxEvents > 0 && float64(r.Events) >= fullEnough*float64(r.MaxEvents):
		return fmt.Sprintf("max_msgs %s, and has %s", humanize.Comma(r.MaxEvents), humanize.Comma(int64(r.Events)))
	case r.MaxBytes > 0 && float64(r.Bytes) >= fullEnough*float64(r.MaxBytes):
		return fmt.Sprintf("max_bytes %s, and has %s", humanize.IBytes(uint64(r.MaxBytes)), humanize.IBytes(r.Bytes))
	}
	return ""
}

// removing says by which limits a stream removes events; empty: by none.
func removing(r broker.StreamReport) string {
	var limits []string
	if r.MaxAge > 0 {
		limits = append(limits, fmt.Sprintf("max_age %v", r.MaxAge))
	}
	if r.MaxBytes > 0 && !r.DiscardNew {
		limits = append(limits, "max_bytes "+humanize.IBytes(uint64(r.MaxBytes)))
	}
	if r.MaxEvents > 0 && !r.DiscardNew {
		limits = append(limits, "max_msgs "+humanize.Comma(r.MaxEvents))
	}
	return strings.Join(limits, ", ")
}

// checkClock compares the server's clock with that of this machine, once.
func (d *doctor) checkClock(stream string, r broker.StreamReport) {
	if slices.ContainsFunc(d.findings, func(f finding) bool { return f.Check == "clock" }) || r.Clock.IsZero() {
		return
	}
	off := d.now().Add(-time.Since(r.Asked)).Sub(r.Clock) // what this machine took for the time then
	found := fmt.Sprintf("it is %v off that of the server of stream %s", off.Abs().Round(time.Millisecond), stream)
	do := "keep both clocks with NTP"
	switch {
	case off.Abs() > clockWrong:
		d.fail("clock", found, "reads as of a time, start = a time and what is kept for a time are wrong", do)
	case off.Abs() > clockAhead:
		d.warn("clock", found, "the age of events, and reads as of a time, are off by that", do)
	default:
		d.ok("clock", "%s", found)
	}
}

// mayRead tries what reading a stream takes, with a consumer that there is not.
func (d *doctor) mayRead(ctx context.Context, b *broker.Broker, stream string) bool {
	return d.mayAsk(ctx, b, "stream "+stream+" cannot be read", "STREAM.MSG.GET."+stream, "CONSUMER.CREATE."+stream+"."+noSuchName,
		"CONSUMER.MSG.NEXT."+stream+"."+noSuchName, "CONSUMER.INFO."+stream+"."+noSuchName, "CONSUMER.DELETE."+stream+"."+noSuchName)
}

// mayAsk tries requests of JetStream's API.
func (d *doctor) mayAsk(ctx context.Context, b *broker.Broker, without string, apis ...string) bool {
	well := true
	for _, api := range apis {
		if !d.tried(b.Try(ctx, "$JS.API."+api), without) {
			well = false
		}
	}
	return well
}

// tried reports whether a permission is there; without it something does not work.
func (d *doctor) tried(err error, without string) bool {
	var refused *broker.PermissionError
	if !errors.As(err, &refused) {
		return true
	}
	d.fail("permissions", fmt.Sprintf("the user may not %s %q", refused.Verb, refused.Missing), without, fmt.Sprintf("add %q to the subjects that the user may %s: %s", refused.Missing, refused.Verb, permissions))
	return false
}
