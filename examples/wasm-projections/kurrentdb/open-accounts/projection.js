// The accounts that are open: a stream that was deleted has no balance any more.
fromCategory("account").foreachStream().when({
  $init: () => ({ balance: 0, open: true }),
  Moved(state, event) {
    state.balance += event.data.amount;
  },
  $deleted(state) {
    state.balance = 0;
    state.open = false;
  },
}).filterBy((state) => state.open).transformBy((state) => ({ balance: state.balance })).outputState();
