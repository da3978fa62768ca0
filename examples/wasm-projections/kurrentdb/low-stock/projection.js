// An event for each time that the stock of an item falls below three.
fromCategory("stock").foreachStream().when({
  $init: () => ({ left: 0 }),
  Moved(state, event) {
    const before = state.left;
    state.left += event.data.change;
    if (before >= 3 && state.left < 3) {
      emit("alerts-" + event.data.plant, "StockLow", { item: event.streamId, left: state.left });
    }
  },
});
