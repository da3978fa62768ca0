package boundary

// Wrap says in which step an error came, as fmt.Errorf("step: %w", err) does. Package fmt is
// 70 KB of a small module (TinyGo), so the SDK does not use it.
func Wrap(step string, err error) error { return &wrapped{step, err} }

type wrapped struct {
	step string
	err  error
}

func (w *wrapped) Error() string { return w.step + ": " + w.err.Error() }

func (w *wrapped) Unwrap() error { return w.err }
