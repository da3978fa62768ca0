// How many items each cart has.
fromCategory("cart").foreachStream().when({
  $init: function () {
    return { items: 0 };
  },
  ItemAdded: function (state, event) {
    state.items += event.data.quantity;
  },
  ItemRemoved: function (state, event) {
    state.items -= event.data.quantity;
  },
});
