// Package config reads the configuration (BurntSushi/toml): one TOML file, and
// those that come with modules, into a Config with every default filled in.
// Decoding is strict: a key that is not known, also by its case, is an error that
// names file, line and the nearest key. config.toml in the root is the manual.
package config

import (
	"encoding/json"
	"path/filepath"
	"time"

	"gnomon/engine"
)

// Config is a whole configuration.
type Config struct {
	DataDir     string       `toml:"data_dir"`
	DiskReserve Size         `toml:"disk_reserve"`
	Log         Log          `toml:"log"`
	HTTP        HTTP         `toml:"http"`
	NATS        NATS         `toml:"nats"`
	Streams     []Stream     `toml:"stream"`
	Plugins     Plugins      `toml:"plugins"`
	Upcasters   []Upcaster   `toml:"upcaster"`
	Projections []Projection `toml:"projection"`

	// Refused are mistakes in files that were deployed (plugins.bucket), *Errors: their
	// projections are left out, so that nobody keeps an engine from starting by deploying.
	Refused []error `toml:"-"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// HTTP says where state is read.
type HTTP struct {
	Listen         string      `toml:"listen"`
	TokenFile      string      `toml:"token_file"`
	Hosts          []string    `toml:"hosts"`
	Origins        []string    `toml:"origins"`
	Proxies        []string    `toml:"proxies"`
	MaxConnections int         `toml:"max_connections"`
	MaxWatches     int         `toml:"max_watches"`
	TLS            HTTPTLS     `toml:"tls"`
	Tokens         []HTTPToken `toml:"token"`
}

// HTTPTLS are the files of the encrypted side.
type HTTPTLS struct {
	Cert     string `toml:"cert"`
	Key      string `toml:"key"`
	ClientCA string `toml:"client_ca"`
}

// HTTPToken says what the tokens of a file may do.
type HTTPToken struct {
	File        string   `toml:"file"`
	Role        string   `toml:"role"`
	Projections []string `toml:"projections"`
	Streams     []string `toml:"streams"`
}

// Public reports whether others than this machine may reach the address.
func (h HTTP) Public() bool { return public(h.Listen) }

// Guarded reports whether clients need a token.
func (h HTTP) Guarded() bool { return h.TokenFile != "" || len(h.Tokens) > 0 }

// NATS says where events come from.
type NATS struct {
	URL         string   `toml:"url"`
	Context     string   `toml:"context"`
	Credentials string   `toml:"credentials"`
	NKey        string   `toml:"nkey"`
	User        string   `toml:"user"`
	Password    string   `toml:"password"`
	Token       string   `toml:"token"`
	InboxPrefix string   `toml:"inbox_prefix"`
	Service     bool     `toml:"service"`
	TLS         TLS      `toml:"tls"`
	Embedded    Embedded `toml:"embedded"`
}

// TLS are the files of an encrypted connection.
type TLS struct {
	CA    string `toml:"ca"`
	Cert  string `toml:"cert"`
	Key   string `toml:"key"`
	First bool   `toml:"first"`
}

// Embedded are settings of the server inside the process.
type Embedded struct {
	Listen       string   `toml:"listen"`
	SyncInterval Duration `toml:"sync_interval"`
}

// Public reports whether others than this machine may reach the server.
func (e Embedded) Public() bool { return public(e.Listen) }

// Stream declares a stream.
type Stream struct {
	Name            string   `toml:"name"`
	Subjects        []string `toml:"subjects"`
	Storage         string   `toml:"storage"`
	MaxAge          Duration `toml:"max_age"`
	MaxBytes        Size     `toml:"max_bytes"`
	DuplicateWindow Duration `toml:"duplicate_window"`
	Replicas        int      `toml:"replicas"`
	AllowAtomic     bool     `toml:"allow_atomic"`
	Seed            string   `toml:"seed"`
}

// Plugins says where modules are, and whose are used.
type Plugins struct {
	Dir        string   `toml:"dir"`
	Bucket     string   `toml:"bucket"`
	Signatures string   `toml:"signatures"`
	PublicKeys []string `toml:"public_keys"`
}

// Projection declares a projection.
type Projection struct {
	Name       string   `toml:"name"`
	Module     string   `toml:"module"`
	SHA256     string   `toml:"sha256"`
	Stream     string   `toml:"stream"`
	Subjects   []string `toml:"subjects"`
	Start      Start    `toml:"start"`
	Key        string   `toml:"key"`
	Partitions int      `toml:"partitions"`
	OnError    string   `toml:"on_error"`

	OnChange     string      `toml:"on_change"`
	Schema       int         `toml:"schema"`
	AutoPromote  AutoPromote `toml:"auto_promote"`
	KeepPrevious Duration    `toml:"keep_previous"`

	Settings   map[string]any `toml:"settings"`
	Limits     Limits         `toml:"limits"`
	Emit       Emit           `toml:"emit"`
	Checkpoint Checkpoint     `toml:"checkpoint"`
	Snapshots  Snapshots      `toml:"snapshots"`
	KV         KV             `toml:"kv" json:"-"`
	History    History        `toml:"history"`

	SettingsJSON []byte `toml:"-"` // Settings, with sorted keys
	Origin       string `toml:"-"` // the file that declares it
	// Upcasters are those of its stream.
	Upcasters []Upcaster `toml:"-" json:",omitempty"`
	// ModuleDirs are the folders that its module may be in: for a file beside a module the
	// one that it is in, otherwise all.
	ModuleDirs []string `toml:"-" json:"-"`
	deployed   bool     `toml:"-"` // by plugins.bucket
}

// KV says where a projection's state is mirrored to. It makes no part of the state.
type KV struct {
	Bucket string `toml:"bucket"`
}

// Limits bound a projection.
type Limits struct {
	Memory      Size     `toml:"memory"`
	Table       int64    `toml:"table"`
	Module      Size     `toml:"module"`
	Compile     Duration `toml:"compile_time"`
	Fuel        int64    `toml:"fuel"`
	BatchEvents int      `toml:"batch_events"`
	BatchBytes  Size     `toml:"batch_bytes"`
	LogLines    int      `toml:"log_lines_per_second"`
	Keys        int64    `toml:"keys"`
	State       Size     `toml:"state"`
	DeadLetters int      `toml:"dead_letters"`
	Outbox      int      `toml:"outbox"`
	OutboxBytes Size     `toml:"outbox_bytes"`
}

// Emit says what a projection may emit, and where to.
type Emit struct {
	Subjects  []string `toml:"subjects"`
	AllowLoop bool     `toml:"allow_loop"`
	MaxHops   int      `toml:"max_hops"`
	History   bool     `toml:"history"`
}

// Checkpoint says how often state is committed.
type Checkpoint struct {
	Window Duration `toml:"window"`
	Cache  Size     `toml:"cache"`
}

// Snapshots are policies of the two kinds of snapshot: of a guest's memory, and
// the named ones.
type Snapshots struct {
	EveryEvents int      `toml:"every_events"`
	Every       Duration `toml:"every"`
	Keep        int      `toml:"keep"`
	Pins        int      `toml:"pins"`
	PinMaxAge   Duration `toml:"pin_max_age"`
}

// History says how much of its past a projection keeps readable.
type History struct {
	Keep  Keep  `toml:"keep"`
	Every int64 `toml:"every_events"`
}

// Mirror is the folder that has the modules of plugins.bucket; it is in the data directory.
func (c *Config) Mirror() string { return filepath.Join(c.DataDir, "modules.d") }

// ModuleDirs are the folders of modules.
func (c *Config) ModuleDirs() []string {
	if c.Plugins.Bucket == "" {
		return []string{c.Plugins.Dir}
	}
	return []string{c.Plugins.Dir, c.Mirror()}
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		DataDir: "data", DiskReserve: 1 << 30,
		Log:     Log{Level: "info", Format: "auto"},
		NATS:    NATS{URL: "embedded", Service: true, Embedded: Embedded{SyncInterval: Duration(time.Second)}},
		HTTP:    HTTP{Listen: "127.0.0.1:7780", MaxConnections: 512, MaxWatches: 256},
		Plugins: Plugins{Dir: "plugins.d", Signatures: "off"},
	}
}

// DefaultStream returns the settings of a stream that declares none.
func DefaultStream() Stream {
	return Stream{Storage: "file", DuplicateWindow: Duration(2 * time.Minute), Replicas: 1, AllowAtomic: true}
}

// DefaultProjection returns the settings of a projection that declares none.
func DefaultProjection() Projection {
	return Projection{
		OnError: "halt", Partitions: 1, OnChange: "rebuild", KeepPrevious: Duration(time.Hour),
		Limits:     Limits{Memory: 64 << 20, Table: 100_000, Module: 32 << 20, Compile: Duration(2 * time.Minute), BatchEvents: 4096, BatchBytes: 1 << 20, LogLines: 100, DeadLetters: 10_000, Outbox: 10_000, OutboxBytes: 64 << 20, Fuel: 500_000_000, Keys: 100_000_000, State: 64 << 30},
		Emit:       Emit{MaxHops: engine.DefaultHops},
		Checkpoint: Checkpoint{Window: Duration(time.Second), Cache: 32 << 20},
		Snapshots: Snapshots{
			EveryEvents: 100_000, Every: Duration(time.Minute), Keep: 3,
			Pins: 16, PinMaxAge: Duration(30 * 24 * time.Hour),
		},
		History: History{Keep: Keep{Events: 10_000}, Every: 1000},
	}
}

// Start is where a new projection begins: "first", "new", a sequence or a time.
type Start struct{ engine.Start }

// AutoPromote says when a candidate takes over: false, true or "equal".
type AutoPromote struct{ engine.PromotePolicy }

// Keep is how much history is kept: "none", "all", a time span, or a number of events.
type Keep struct {
	All    bool
	Events uint64
	Age    Duration
}

// settingsJSON makes JSON of a settings table. Map keys come out sorted.
func settingsJSON(settings map[string]any) ([]byte, error) {
	if len(settings) == 0 {
		return []byte("{}"), nil
	}
	return json.Marshal(settings)
}
