package config

import (
	"cmp"
	"math"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"gnomon/engine/streams"
)

var (
	projectionName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	streamName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	bucketName     = regexp.MustCompile(`^[A-Za-z0-9_-]{0,200}$`)
	publicKey      = regexp.MustCompile(`^RW[Q-T][A-Za-z0-9+/]{53}$`) // of minisign
	sha256Digest   = regexp.MustCompile(`^([0-9A-Fa-f]{64})?$`)
	keySpec        = regexp.MustCompile(`^(subject:[1-9][0-9]{0,2}|header:.+|json:.+)?$`)
)

// validate checks what the types cannot say. Errors are *Errors.
func (c *Config) validate(d *document) error {
	v := &validator{document: d}
	v.oneOf(path{"log", "level"}, c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf(path{"log", "format"}, c.Log.Format, "auto", "text", "json")
	v.size(path{"disk_reserve"}, c.DiskReserve, 0, 1<<50)
	v.require(path{"data_dir"}, c.DataDir != "", "data_dir is empty: name a folder")
	v.http(c.HTTP)
	v.plugins(c.Plugins)
	v.nats(c.NATS)
	streams := map[string]Stream{}
	for i, s := range c.Streams {
		p := path{"stream"}.element(i)
		_, twice := streams[s.Name]
		v.require(p, !twice, "stream %q is declared twice", s.Name)
		streams[s.Name] = s
		v.stream(p, s)
	}
	c.validateUpcasters(v, streams)
	c.validateProjections(v, streams)
	c.giveUpcasters()
	return v.err
}

// validateProjections leaves out those that were deployed and are wrong.
func (c *Config) validateProjections(v *validator, streams map[string]Stream) {
	all, origins, buckets := c.Projections, map[string]string{}, map[string]string{}
	c.Projections = all[:0]
	for i, pr := range all {
		one := v
		if pr.Origin != "" && pr.Origin != v.name {
			one = &validator{document: &document{name: pr.Origin}} // beside its module
		}
		p := path{"projection"}.element(i)
		other, twice := origins[pr.Name]
		one.require(p, !twice || other != pr.Origin, "projection %q is declared twice in this file", pr.Name)
		one.require(p, !twice, "projection %q is declared twice, also in %s", pr.Name, other)
		one.projection(p, &pr, streams)
		one.kv(p.add("kv").add("bucket"), pr, buckets)
		if pr.deployed && one.err != nil {
			c.Refused = append(c.Refused, one.err)
			continue
		}
		v.err = cmp.Or(v.err, one.err)
		origins[pr.Name] = pr.Origin
		c.Projections = append(c.Projections, pr)
	}
}

// validator keeps the first mistake.
type validator struct {
	*document
	err error
}

func (v *validator) require(p path, ok bool, format string, args ...any) {
	if !ok && v.err == nil {
		v.err = v.mistake(p, format, args...)
	}
}

func (v *validator) oneOf(p path, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	v.require(p, false, "%s is %q: use one of %s", p.key(), value, strings.Join(allowed, ", "))
}

func (v *validator) between(p path, value, lo, hi int64) {
	v.require(p, value >= lo && value <= hi, "%s is %d: it must be between %d and %d", p.key(), value, lo, hi)
}

func (v *validator) size(p path, value, lo, hi Size) {
	v.require(p, value >= lo && value <= hi, "%s is %s: it must be between %s and %s", p.key(), value, lo, hi)
}

func (v *validator) nats(n NATS) {
	embedded := n.URL == "embedded" && n.Context == ""
	v.require(path{"nats", "url"}, n.URL != "" || n.Context != "", "nats.url is empty: use \"embedded\", or the URL of a server")
	v.require(path{"nats", "context"}, n.Context == "" || n.URL == "embedded" || n.URL == "", "nats.context and nats.url are both set: use one of them")
	v.require(path{"nats", "url"}, embedded || n.Context != "" || strings.Contains(n.URL, "://"), "nats.url is %q: use \"embedded\", or a URL such as \"nats://localhost:4222\"", withoutUser(n.URL))
	ways := 0
	for _, set := range []string{n.Credentials, n.NKey, n.User, n.Token} {
		if set != "" {
			ways++
		}
	}
	v.require(path{"nats"}, ways <= 1, "nats has more than one of credentials, nkey, user and token: use one of them")
	v.require(path{"nats"}, ways == 0 || !embedded, "nats.url is \"embedded\": credentials, nkey, user and token belong to an external server")
	v.require(path{"nats", "tls", "cert"}, (n.TLS.Cert == "") == (n.TLS.Key == ""), "nats.tls.cert and nats.tls.key come together")
	for key, file := range map[string]string{"credentials": n.Credentials, "nkey": n.NKey, "tls.ca": n.TLS.CA, "tls.cert": n.TLS.Cert, "tls.key": n.TLS.Key} {
		v.exists(append(path{"nats"}, strings.Split(key, ".")...), file)
	}
	if n.Embedded.Listen != "" {
		_, _, err := net.SplitHostPort(n.Embedded.Listen)
		v.require(path{"nats", "embedded", "listen"}, err == nil, "nats.embedded.listen is %q: use HOST:PORT, such as \"127.0.0.1:4222\"", n.Embedded.Listen)
	}
}

// withoutUser leaves out of a URL who asks, and the password.
func withoutUser(url string) string {
	if i := strings.LastIndexByte(url, '@'); i >= 0 {
		return "…" + url[i:]
	}
	return url
}

func (v *validator) plugins(c Plugins) {
	p := path{"plugins"}
	v.require(p.add("bucket"), bucketName.MatchString(c.Bucket), "plugins.bucket is %q: use letters, digits, - and _", c.Bucket)
	v.oneOf(p.add("signatures"), c.Signatures, "off", "warn", "require")
	v.require(p.add("signatures"), c.Signatures == "off" || len(c.PublicKeys) > 0,
		"plugins.signatures is %q and plugins.public_keys is empty, so that no module is trusted: add the public keys of those who sign them, which minisign -G makes", c.Signatures)
	for _, key := range c.PublicKeys {
		_, err := os.Stat(key)
		v.require(p.add("public_keys"), publicKey.MatchString(key) || err == nil,
			"plugins.public_keys: %q is neither a public key of minisign, 56 characters that begin with RW, nor the path of a file with one", key)
	}
}

func (v *validator) stream(p path, s Stream) {
	v.require(p.add("name"), streamName.MatchString(s.Name), "stream name %q: use letters, digits, - and _", s.Name)
	for _, subject := range s.Subjects {
		err := streams.CheckFilter(subject)
		v.require(p.add("subjects"), err == nil, "stream %s: %v", s.Name, err)
	}
	v.oneOf(p.add("storage"), s.Storage, "file", "memory")
	v.between(p.add("replicas"), int64(s.Replicas), 1, 5)
	if s.Seed != "" {
		v.require(p.add("seed"), len(s.Subjects) > 0, "stream %s has a seed but no subjects", s.Name)
	}
}

func (v *validator) projection(p path, pr *Projection, streams map[string]Stream) {
	v.require(p.add("name"), projectionName.MatchString(pr.Name), "projection name %q: use 1 to 64 of a-z, 0-9 and -", pr.Name)
	v.require(p.add("module"), pr.Module != "", "projection %s names no module: module = \"FILE.wasm\", relative to plugins.dir", pr.Name)
	v.require(p.add("sha256"), sha256Digest.MatchString(pr.SHA256), "projection %s: sha256 %q is no digest: use the 64 digits that sha256sum prints of the module's file", pr.Name, pr.SHA256)
	v.require(p.add("stream"), pr.Stream != "", "projection %s names no stream: stream = \"NAME\"", pr.Name)
	v.require(p.add("stream"), pr.Stream == "" || streamName.MatchString(pr.Stream), "projection %s: stream name %q: use letters, digits, - and _", pr.Name, pr.Stream)
	v.filters(p.add("subjects"), pr, streams[pr.Stream].Subjects)
	v.require(p.add("key"), keySpec.MatchString(pr.Key), "projection %s: key %q: use subject:N, header:NAME or json:PATH", pr.Name, pr.Key)
	v.between(p.add("partitions"), int64(pr.Partitions), 1, 64)
	v.require(p.add("partitions"), pr.Partitions == 1 || pr.Key != "", "projection %s: partitions = %d needs a key by which the events are split: key = \"json:PATH\", for one", pr.Name, pr.Partitions)
	v.oneOf(p.add("on_error"), pr.OnError, "halt", "skip", "dead-letter", "quarantine")
	v.require(p.add("on_error"), pr.OnError != "quarantine" || pr.Key != "", "projection %s: on_error = \"quarantine\" needs a key, behind whose first failed event the others queue: key = \"json:PATH\", for one", pr.Name)
	v.oneOf(p.add("on_change"), pr.OnChange, "rebuild", "swap")
	v.between(p.add("schema"), int64(pr.Schema), 0, math.MaxInt32)
	v.require(p.add("keep_previous"), pr.KeepPrevious >= 0, "projection %s: keep_previous is %s: it must not be negative", pr.Name, pr.KeepPrevious)
	v.limits(p, pr)
	v.emit(p.add("emit"), pr)
	var err error
	pr.SettingsJSON, err = settingsJSON(pr.Settings)
	v.require(p.add("settings"), err == nil, "projection %s: settings cannot be handed to the module as JSON: %v", pr.Name, err)
}

func (v *validator) filters(p path, pr *Projection, stream []string) {
	for i, f := range pr.Subjects {
		err := streams.CheckFilter(f)
		v.require(p, err == nil, "projection %s: %v", pr.Name, err)
		for _, g := range pr.Subjects[:i] {
			v.require(p, !streams.FiltersOverlap(f, g), "projection %s: subjects %q and %q overlap: leave one out", pr.Name, g, f)
		}
		within := len(stream) == 0
		for _, s := range stream {
			within = within || streams.FiltersOverlap(f, s)
		}
		v.require(p, within, "projection %s: subject %q is not in stream %s, which has %s", pr.Name, f, pr.Stream, strings.Join(stream, ", "))
	}
}

func (v *validator) emit(p path, pr *Projection) {
	for _, f := range pr.Emit.Subjects {
		err := streams.CheckFilter(f)
		v.require(p.add("subjects"), err == nil, "projection %s: emit: %v", pr.Name, err)
	}
	v.between(p.add("max_hops"), int64(pr.Emit.MaxHops), 1, 1000)
}

func (v *validator) limits(p path, pr *Projection) {
	l := p.add("limits")
	v.size(l.add("memory"), pr.Limits.Memory, 64<<10, 4<<30)
	v.between(l.add("table"), pr.Limits.Table, 1, 10_000_000)
	v.size(l.add("module"), pr.Limits.Module, 1, 1<<30)
	c := pr.Limits.Compile
	v.require(l.add("compile_time"), c >= Duration(time.Second) && c <= Duration(time.Hour), "%s is %s: it must be between 1s and 1h", l.add("compile_time").key(), c)
	v.between(l.add("batch_events"), int64(pr.Limits.BatchEvents), 1, 1<<20)
	v.size(l.add("batch_bytes"), pr.Limits.BatchBytes, 1, 256<<20)
	v.between(l.add("log_lines_per_second"), int64(pr.Limits.LogLines), 0, 1_000_000)
	v.between(l.add("fuel"), pr.Limits.Fuel, 0, math.MaxInt64/2)
	v.between(l.add("keys"), pr.Limits.Keys, 1, math.MaxInt64)
	v.size(l.add("state"), pr.Limits.State, 1, 1<<60)
	v.between(l.add("dead_letters"), int64(pr.Limits.DeadLetters), 1, 1_000_000)
	v.between(l.add("outbox"), int64(pr.Limits.Outbox), 1, 1_000_000)
	v.size(l.add("outbox_bytes"), pr.Limits.OutboxBytes, 1<<10, 4<<30)
	v.size(p.add("checkpoint").add("cache"), pr.Checkpoint.Cache, 0, 64<<30)
	s := p.add("snapshots")
	v.between(s.add("every_events"), int64(pr.Snapshots.EveryEvents), 1, math.MaxInt64)
	v.between(s.add("keep"), int64(pr.Snapshots.Keep), 1, 100)
	v.between(p.add("history").add("every_events"), pr.History.Every, 1, 10_000_000)
	v.between(s.add("pins"), int64(pr.Snapshots.Pins), 0, 1000)
}
