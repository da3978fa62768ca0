package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"gnomon/engine/guest"
	"gnomon/host/fuel"
	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
)

// instance is one running copy of a module. It implements guest.Instance.
type instance struct {
	module   api.Module
	settings []byte
	log      guest.Log
	limit    uint64 // of memory and of a snapshot, in bytes
	setting  func(limit string) string

	apply, upcast, query, snapshot, restore api.Function // nil when not exported

	fields *jsonfields.Reader // that the guest declared; nil before
	table  []byte             // buffer

	output []byte // buffer of upcast

	watch  func(Called) // nil: nobody is told of its calls
	logged bool         // or asked whether lines are kept

	stacked bool // has a stack in its memory, see stackPointer

	meter   fuel.Meter
	counter fuel.Counter // of meter; nil: it is not known yet, or there is none
	fuel    uint64       // of one call; 0: it is not metered
	started uint64       // fuel that starting it used, until it is called; then 0
	calls   uint64       // of functions of the contract, by the last call

	stack [1]uint64 // for CallWithStack: no export of the contract needs more
	call  call      // the call under way
}

// Instantiate implements guest.Module.
func (m *Module) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	return m.InstantiateWatched(ctx, c, nil)
}

// InstantiateWatched makes an instance as Instantiate does, of which watch is told what functions
// of the contract it has called.
func (m *Module) InstantiateWatched(ctx context.Context, c guest.Config, watch func(Called)) (guest.Instance, error) {
	in := &instance{watch: watch, settings: c.Settings, log: c.Log, limit: c.Memory, setting: m.setting, fuel: m.fuel}
	if len(in.settings) == 0 {
		in.settings = []byte("{}")
	}
	in.call = call{Context: ctx, in: in, name: "start", event: -1}
	var im *image
	var take bool
	if watch == nil { // who watches wants to see the calls of init
		im, take = m.images.next(c)
	}
	ictx := experimental.WithMemoryAllocator(&in.call, limitedMemory{c.Memory, im.memory(), in.refusedMemory})
	module, err := m.host.runtime.InstantiateModule(ictx, m.compiled, moduleConfig(printing{in, c.Log}, c.Surroundings))
	if err != nil {
		return nil, in.failure(err)
	}
	in.meterStart(module)
	if err := in.failure(nil); err != nil {
		module.Close(ctx)
		return nil, err
	}
	in.module = module
	in.findStack()
	if m.fuel > 0 {
		in.started = startFuel - in.counter.Get()
		in.meter.Fill(0)
	}
	in.apply = module.ExportedFunction(abi.ExportApply)
	in.upcast = module.ExportedFunction(abi.ExportUpcast)
	in.query = module.ExportedFunction(abi.ExportQuery)
	in.snapshot = module.ExportedFunction(abi.ExportSnapshot)
	in.restore = module.ExportedFunction(abi.ExportRestore)
	switch {
	case im != nil && in.become(im):
	case take:
		err = m.images.take(ctx, in, c)
	default:
		err = in.initialize(ctx)
	}
	if err != nil {
		in.Close(ctx)
		return nil, err
	}
	return in, nil
}

// meterStart finds the counter of an instance: at the first call of the host by its start
// function, or behind that. The counter begins with startFuel.
func (in *instance) meterStart(m api.Module) {
	if in.fuel > 0 && in.counter == nil {
		in.counter = m.ExportedGlobal(fuel.Global).(api.MutableGlobal)
		in.meter = fuel.NewMeter(in.counter)
	}
}

// refusedMemory remembers that the call under way asked for too much memory: all that
// most guests can do then is to trap, which alone does not say why.
func (in *instance) refusedMemory(size uint64) {
	in.call.refused = fmt.Sprintf("it asked for %d bytes of memory: the limit is %d (%s)", size, in.limit, in.setting("memory"))
}

// initialize runs the optional exports that come before any batch.
func (in *instance) initialize(ctx context.Context) error {
	used := in.started // by the start function
	for _, name := range []string{abi.ExportInitialize, abi.ExportInit} {
		f := in.module.ExportedFunction(name)
		if f == nil {
			continue
		}
		if err := in.run(f, call{Context: ctx, name: name}, name == abi.ExportInit); err != nil {
			return err
		}
		used += in.Fuel()
	}
	in.started = used
	return nil
}

// Apply implements guest.Instance.
func (in *instance) Apply(ctx context.Context, records []byte, st guest.State) error {
	if in.apply == nil {
		return errors.New("module exports no apply")
	}
	return in.run(in.apply, call{Context: ctx, name: abi.ExportApply, batch: records, state: st}, true)
}

// Snapshot implements guest.Instance.
func (in *instance) Snapshot(ctx context.Context) ([][]byte, error) {
	if in.snapshot == nil {
		return nil, errors.New("module exports no snapshot")
	}
	if err := in.run(in.snapshot, call{Context: ctx, name: abi.ExportSnapshot}, true); err != nil {
		return nil, err
	}
	return in.call.blobs, nil
}

// Restore implements guest.Instance.
func (in *instance) Restore(ctx context.Context, blobs [][]byte) error {
	if in.restore == nil {
		return errors.New("module exports no restore")
	}
	return in.run(in.restore, call{Context: ctx, name: abi.ExportRestore, blobs: blobs}, true)
}

// Migrate implements guest.Instance.
func (in *instance) Migrate(ctx context.Context, from int, st guest.State) error {
	f := in.module.ExportedFunction(abi.ExportMigrate)
	if f == nil {
		return errors.New("module exports no migrate")
	}
	return in.run(f, call{Context: ctx, name: abi.ExportMigrate, argument: uint64(uint32(from)), state: st}, true)
}

// Fuel implements guest.Instance. Before the first call it is what starting the instance
// used: the start function, _initialize and init.
func (in *instance) Fuel() uint64 {
	switch {
	case in.fuel == 0:
		return 0
	case in.started > 0:
		return in.started
	}
	return in.meter.Used()
}

// HostCalls is how many functions of the contract the guest called in its last call.
func (in *instance) HostCalls() uint64 { return in.calls }

// MemoryBytes implements guest.Instance.
func (in *instance) MemoryBytes() uint64 { return memoryBytes(in.module.Memory()) }

// Close implements guest.Instance.
func (in *instance) Close(ctx context.Context) error { return in.module.Close(ctx) }

// run calls a function of the guest. The first failure counts: the host's own,
// which may have ended the call, before a trap, before the guest's result.
func (in *instance) run(f api.Function, c call, result bool) error {
	in.call = c
	in.call.in = in
	in.call.event = -1
	if c.state != nil {
		in.call.rows = c.state
	}
	in.stack[0] = c.argument
	in.started, in.calls = 0, 0
	budget := in.budget(c.name)
	in.meter.Fill(budget)
	err := f.CallWithStack(&in.call, in.stack[:])
	if err := in.failure(err); err != nil {
		return err
	}
	code := int32(in.stack[0])
	if result && (code != 0 || in.call.tooSmall > 0) {
		return in.refusal(code)
	}
	in.call.warnRefused()
	return nil
}

// failure is that of the call under way, which wazero says ended with err; nil when it did
// not fail.
func (in *instance) failure(err error) error {
	c := &in.call
	switch {
	case c.err != nil:
		return c.err
	case in.fuel > 0 && (c.spend(0) || in.meter.Exhausted()):
		return &guest.Error{Call: c.name, Kind: guest.OutOfFuel, Text: c.explain(c.outOfFuel()), Event: c.event}
	case err != nil:
		return &guest.Error{Call: c.name, Kind: c.trapKind(), Text: c.explain(in.trapText(err) + c.lastWords()), Event: c.event}
	}
	return nil
}

// startFuel is the budget of what runs once for an instance, and of a snapshot and its
// restoring: some ten seconds.
const startFuel = 10_000_000_000

func (in *instance) budget(export string) uint64 {
	if export == abi.ExportApply || export == abi.ExportUpcast || export == abi.ExportQuery {
		return in.fuel
	}
	return max(in.fuel, startFuel)
}

// fuelLimit says what a call may use, and which setting that is.
func (in *instance) fuelLimit(export string) string {
	budget, setting := in.budget(export), in.setting("fuel")
	if budget > in.fuel {
		setting = fixed
	}
	return fmt.Sprintf("%d units are its limit (%s)", budget, setting)
}

// refusal is the error for a guest that returned a code other than zero, or one
// that did not notice that the batch was larger than its buffer.
func (in *instance) refusal(code int32) error {
	c := &in.call
	e := &guest.Error{Call: c.name, Kind: guest.Refused, Event: c.event}
	if c.tooSmall > 0 && c.said == "" {
		e.Kind, e.Have, e.Need = guest.SmallBuffer, c.tooSmall, len(c.batch)
		return e
	}
	e.Text = c.explain(fmt.Sprintf("code %d", code))
	return e
}
