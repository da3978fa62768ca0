package fuel

// MaxBudget is the largest budget. It leaves room for charges below zero and for
// all that may be added to it.
const MaxBudget = 1 << 62

// Counter is the exported global of an instance. wazero's api.MutableGlobal is one.
type Counter interface {
	Get() uint64
	Set(uint64)
}

// Meter reads and sets the counter of one instance. Like the instance, it is for one
// goroutine at a time; functions that the guest imports may use it while they are
// called. The zero value, without a counter, meters nothing: it is what a module is
// given that was not rewritten.
type Meter struct {
	counter Counter
	budget  int64
}

// NewMeter returns the meter of an instance.
func NewMeter(c Counter) Meter { return Meter{counter: c} }

// Fill gives the instance a budget, at most MaxBudget. What was left is lost.
func (m *Meter) Fill(budget uint64) {
	m.budget = int64(min(budget, MaxBudget))
	if m.counter != nil {
		m.counter.Set(uint64(m.budget))
	}
}

// left is below zero when the budget is used up.
func (m *Meter) left() int64 {
	if m.counter == nil {
		return m.budget
	}
	return int64(m.counter.Get())
}

// Used returns what was charged since Fill. It may exceed the budget: by what runs
// between two checks, or by the size of the operation that was not allowed to run.
func (m *Meter) Used() uint64 { return uint64(m.budget - m.left()) }

// Exhausted tells whether more was charged than the budget. A call that trapped, or
// that returned, ran out of fuel exactly if this holds after it; a trap of the
// guest's own leaves something, or nothing, but not less.
func (m *Meter) Exhausted() bool { return m.left() < 0 }

// Charge takes from the budget what a function of the host does for the guest, and
// tells whether there was as much. If not, the function must end the call: it does
// not run on.
func (m *Meter) Charge(n uint64) bool {
	if m.counter == nil {
		return true
	}
	left := m.left()
	if left < 0 || n > uint64(left) {
		m.counter.Set(^uint64(0)) // -1
		return false
	}
	m.counter.Set(uint64(left - int64(n)))
	return true
}
